"""What the readers of RTF and HTML make of markup."""

from __future__ import annotations

import pytest

from handlers.parsing import html, rtf
from handlers.parsing.parsed import Parsed, Unreadable
from tests.handlers import office_files as files
from tests.handlers.outlet import Kept, read_with


def read_rtf(content: str, head: str = r"\ansi\ansicpg1252") -> tuple[Parsed, Kept]:
    return read_with(rtf.read, (r"{\rtf1" + head + content + "}").encode("latin-1"), "")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (r"caf\'e9 \u8364?5 \u55357\'3f\u56832\'3f\emdash{\b x}\~y\_z", "café €5 😀—x y-z"),
        (r"{\fonttbl{\f0 A;}{\f1\fcharset204 B;}}\f0 a\'e9 {\f1\'cf\'f0\'e8}", "aé При"),
        (r"{\fonttbl{\f1\fcharset128 B;}}{\f1\'93\'fa\'96\'7b}", "日本"),
        (r"{\uc2\u228\'61\'62x}{\uc0\u228 x}", "äxäx"),
        (r"one\par two\line three{\*\unknown gone}\par\pard four", "one\n\ntwo\nthree\n\nfour"),
        (r"\trowd a\intbl\cell b\cell\row\trowd c\cell d\cell\row\pard after\par", "a | b\nc | d\n\nafter"),
        (r"{\stylesheet{\s0 Normal;}}{\colortbl;\red0;}{\*\generator X;}text", "text"),
    ],
)
def test_rich_text_becomes_text(content: str, text: str) -> None:
    assert read_rtf(content)[0].text == text


def test_the_code_page_of_the_document_holds_where_a_font_has_none() -> None:
    assert read_rtf(r"\'cf\'f0\'e8", r"\ansi\ansicpg1251")[0].text == "При"


def test_notes_margins_links_and_comments_of_rich_text_are_read() -> None:
    parsed, _ = read_rtf(
        r"{\header Secret draft\par}One{\super\chftn}{\footnote\chftn  The foot.} "
        r'{\field{\*\fldinst HYPERLINK "https://example.org/x"}{\fldrslt the link}}'
        r"{\*\atnid CC}{\*\atnauthor Cy}\chatn{\*\annotation Sure?}\par Two\par"
    )
    assert parsed.text == (
        "One[1] the link <https://example.org/x>\n\n[1] The foot.\n\nTwo\n\nSecret draft\n\n"
        "Comments\n\nComment by Cy: Sure?"
    )


def test_hidden_and_deleted_rich_text_is_told() -> None:
    parsed, _ = read_rtf(
        r"{\*\revtbl{Unknown;}{Bob;}}Pay {\v secret} "
        rf"{{\deleted\revauthdel1\revdttmdel{101 << 20 | 5 << 16 | 14 << 11 | 9 << 6 | 5} ten }}twenty\par"
    )
    assert parsed.text.startswith("Pay [hidden: secret] twenty\n\nDeleted text")
    (gone,) = parsed.meta["deleted"]
    assert (gone["text"], gone["author"], gone["at"]) == ("ten", "Bob", "2001-05-14T09:05")


def test_facts_of_rich_text_are_noted() -> None:
    parsed, _ = read_rtf(
        r"{\info{\title The plan}{\author Ada \u246\'3f}{\creatim\yr2001\mo5\dy14\hr9\min5}}"
        r"{\*\template http://evil.example/t.dot}text"
    )
    assert parsed.title == "The plan"
    assert (parsed.meta["author"], parsed.meta["created"]) == ("Ada ö", "2001-05-14T09:05")
    assert parsed.meta["external"] == ["template http://evil.example/t.dot"]


def test_pictures_and_objects_of_rich_text_go_out() -> None:
    image = files.picture(150, 100).hex()
    held = files.packaged("plan.pdf", b"%PDF-1.4")
    ole = (1).to_bytes(4, "little") * 2
    for text in (b"Acro\0", b"", b""):
        ole += len(text).to_bytes(4, "little") + text
    ole += len(held).to_bytes(4, "little") + held
    parsed, kept = read_rtf(
        rf"a{{\*\shppict{{\pict\pngblip\picw150 {image[:60]}"
        + "\n"
        + rf"{image[60:]}}}}}{{\nonshppict{{\pict\wmetafile8 00}}}}"
        rf"{{\object\objemb{{\*\objclass Acro}}{{\*\objdata {ole.hex()}}}{{\result shown}}}}"
    )
    assert kept.attached == [("picture.png", files.picture(150, 100)), ("plan.pdf", b"%PDF-1.4")]
    assert parsed.text == "ashown"


def test_binary_data_within_rich_text_is_passed_over_by_its_length() -> None:
    assert read_rtf(r"a{\pict\pngblip\bin4 }}{{}b")[0].text == "ab"


def test_rich_text_that_is_cut_off_is_read_and_told() -> None:
    parsed, _ = read_with(rtf.read, rb"{\rtf1\ansi One\par {\b Two", "")
    assert parsed.text == "One\n\nTwo"
    assert "cut off" in parsed.meta["notice"]


def test_rich_text_nested_without_end_is_refused() -> None:
    with pytest.raises(Unreadable, match="nested too deeply"):
        read_with(rtf.read, b"{\\rtf1" + b"{" * 5000, "")


def test_a_page_becomes_text_with_the_targets_of_its_links() -> None:
    content = """<!DOCTYPE html><html><head><meta charset=utf-8><title>Über
      uns</title><style>p{}</style></head><body><h1>Head</h1><p>One <a href="https://example.org/x">two</a>
      <a href="https://example.org/y">https://example.org/y</a> <a href="#z">z</a>.<p>Four<br>five &amp; six
      <ul><li>a<li>b</ul><table><tr><th>Name<th>Pay<tr><td><p>Ann</p><td><td>20</table><pre>  x
   y</pre><img src="https://tracker.example/p.png" alt="logo"><script>alert(1)</script></body></html>"""
    parsed, _ = read_with(html.read, content.encode(), "")
    assert parsed.text == (
        "Head\n\nOne two <https://example.org/x> https://example.org/y z.\n\nFour\nfive & six\n\na\nb\n\n"
        "Name | Pay\nAnn | | 20\n\nx\ny\n\n[picture: logo]"
    )
    assert parsed.title == "Über uns"
    assert parsed.meta["external"] == ["img https://tracker.example/p.png"]


def test_what_a_page_hides_is_marked() -> None:
    content = b"""<p>Open</p><div style="display: none">se<b>cr</b>et</div><p hidden>also</p>
      <span style="font-size:0px">tiny</span><input type=hidden value=no><p>end"""
    parsed, _ = read_with(html.read, content, "")
    assert parsed.text == "Open\n\n[hidden: secret]\n\n[hidden: also]\n\n[hidden: tiny]\n\nend"
    assert parsed.meta["hidden"] == ["secret", "also", "tiny"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("<meta charset=windows-1251><p>При".encode("cp1251"), "cp1251"),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1"><p>“x”'.encode("cp1252"),
            "cp1252",
        ),
        ("<meta charset=utf-16><p>é".encode(), "utf-8"),
        ("<p>é".encode("utf-16"), "utf-16"),
        ("<meta charset=nonsense><p>é".encode("cp1252"), "cp1252"),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_can_be_in(content: bytes, encoding: str) -> None:
    parsed, _ = read_with(html.read, content, "")
    assert parsed.meta["encoding"] == encoding
    assert parsed.text in ("При", "“x”", "é")


def test_a_head_that_is_never_closed_hides_nothing() -> None:
    assert html.text_of("<head><title>x<body><p>shown") == "shown"
