"""What the readers make of files, with every place exact."""

import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from handlers.chunking import cut
from handlers.parsing import mail, pdf, plain
from handlers.parsing.html import text_of
from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import Parsed, PasswordNeeded, Unreadable, clean
from tests.handlers import files
from tests.handlers.outlet import read_with


def read_pdf(path: Path, password: str = "") -> Parsed:
    return read_with(pdf.read, path, "application/pdf", password=password)[0]


def read_mail(content: bytes) -> Parsed:
    return read_with(mail.read, content, "message/rfc822")[0]


def read_text(content: bytes, media_type: str = "text/plain") -> Parsed:
    return read_with(plain.read, content, media_type)[0]


def test_every_line_of_a_pdf_stands_where_its_box_says(tmp_path: Path) -> None:
    pages = [[f"Line {i} of page {p} says so." for i in range(8)] for p in (1, 2, 3)]
    parsed = read_pdf(files.pdf(tmp_path / "a.pdf", *pages))
    assert [parsed.text[start:end].splitlines() for start, end in parsed.pages] == pages
    assert len(parsed.lines) == 24
    for line in parsed.lines:
        shown = parsed.text[line.start : line.end]
        i, page = int(shown.split()[1]), int(shown.split()[4])
        assert line.page == page
        x0, y0, x1, y1 = line.box
        assert y0 < 100 + 20 * i < y1
        assert 70 < x0 < 74 < x1


def test_chunks_of_a_pdf_know_their_page_and_boxes(tmp_path: Path) -> None:
    pages = [[f"Sentence {i} on sheet {p} is here to fill it." for i in range(30)] for p in (1, 2)]
    parsed = read_pdf(files.pdf(tmp_path / "a.pdf", *pages))
    chunks = cut(parsed.text, parsed.pages, parsed.lines)
    assert {chunk.page for chunk in chunks} == {1, 2}
    for chunk in chunks:
        assert f"sheet {chunk.page} " in chunk.text
        assert f"sheet {3 - chunk.page} " not in chunk.text
        assert len(chunk.boxes) == chunk.text.count("\n") + 1


def test_boxes_of_a_turned_page_are_where_people_see_them(tmp_path: Path) -> None:
    parsed = read_pdf(files.pdf(tmp_path / "a.pdf", ["Turned by ninety."], rotation=90))
    (line,) = parsed.lines
    x0, y0, x1, y1 = line.box
    # The page is shown 800 wide; what was 100 from the top is 100 from the right.
    assert 680 < x0 < x1 < 720
    assert 70 < y0 < 74 < y1


def test_line_numbers_of_a_transcript_are_left_out(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    for i in range(1, 26):
        page.insert_text((50, 60 + 24 * i), str(i), fontsize=11)
        page.insert_text((100, 60 + 24 * i), f"words in line {i} go on", fontsize=11)
    page.insert_text((500, 40), "187", fontsize=11)
    document.save(tmp_path / "a.pdf")
    text = read_pdf(tmp_path / "a.pdf").text
    assert [line for line in text.split("\n") if line.strip().isdigit()] == ["187"]
    assert "words in line 25 go on" in text


def test_a_list_of_numbers_is_no_margin(tmp_path: Path) -> None:
    numbers = [str(i) for i in range(1, 20)]
    assert read_pdf(files.pdf(tmp_path / "a.pdf", numbers)).text.split("\n") == numbers


def test_a_table_row_stays_one_line(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    for i, (name, sum_) in enumerate([("Rent", "100"), ("Salt", "200")]):
        page.insert_text((72, 100 + 20 * i), name)
        page.insert_text((300, 100 + 20 * i), sum_)
    document.save(tmp_path / "a.pdf")
    assert read_pdf(tmp_path / "a.pdf").text == "Rent  100\nSalt  200"


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("The Lease of 1999", "The Lease of 1999"),
        ("Microsoft Word - The Lease.docx", "The Lease"),
        ("untitled", ""),
        ("400924", ""),
        ("scan_0001.tif", ""),
    ],
)
def test_a_title_is_taken_where_it_is_one(tmp_path: Path, said: str, title: str) -> None:
    assert read_pdf(files.pdf(tmp_path / "a.pdf", ["Some text stands here."], title=said)).title == title


def test_the_largest_print_is_the_title_where_none_is_given(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 80), "Report on the Bridge", fontsize=22)
    for i in range(10):
        page.insert_text((72, 140 + 20 * i), "The bridge is of stone and stands well.", fontsize=11)
    document.save(tmp_path / "a.pdf")
    assert read_pdf(tmp_path / "a.pdf").title == "Report on the Bridge"


def test_an_encrypted_pdf_asks_for_its_password(tmp_path: Path) -> None:
    path = files.pdf(tmp_path / "a.pdf", ["Secret words."], password="sesame")
    with pytest.raises(PasswordNeeded, match="encrypted"):
        read_pdf(path)
    with pytest.raises(PasswordNeeded, match="does not open"):
        read_pdf(path, "guess")
    assert read_pdf(path, "sesame").text == "Secret words."


def test_a_broken_pdf_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\nnothing of the kind")
    with pytest.raises(Unreadable, match="damaged") as raised:
        read_pdf(tmp_path / "a.pdf")
    assert str(tmp_path) not in str(raised.value)


def test_a_mail_is_headers_body_and_attachments() -> None:
    message = files.mail(body="Where is the red folder?")
    message.add_attachment(b"%PDF-1.7 x", maintype="application", subtype="pdf", filename="../a/plan.pdf")
    inner = files.mail(subject="Enclosed", body="Deep words.")
    message.add_attachment(inner)
    parsed, kept = read_with(mail.read, message.as_bytes(), "message/rfc822")
    assert parsed.title == "A question"
    assert parsed.text.startswith("Subject: A question\nFrom: ")
    assert "Where is the red folder?" in parsed.text
    assert "Deep words" not in parsed.text
    assert parsed.meta["from"] == [{"name": "Orr, Ann", "address": "ann.orr@example.org"}]
    assert [a["address"] for a in parsed.meta["to"]] == ["ben@example.org", "cy@example.org"]
    assert parsed.meta["date"] == "2019-06-04T10:00:00+02:00"
    assert parsed.meta["message_id"] == "<1@example.org>"
    assert [name for name, _ in kept.attached] == ["plan.pdf", "Enclosed.eml"]
    assert kept.attached[0][1] == b"%PDF-1.7 x"
    assert read_mail(kept.attached[1][1]).title == "Enclosed"


def test_plain_text_is_preferred_to_html_unless_it_is_empty() -> None:
    both = read_mail(files.mail(body="plain words", html="<p>rich words</p>").as_bytes())
    assert "plain words" in both.text
    assert "rich words" not in both.text
    only = read_mail(files.mail(body="", html="<p>rich <b>words</b></p><script>evil()</script>").as_bytes())
    assert "rich words" in only.text
    assert "evil" not in only.text


def test_headers_in_any_encoding_are_read() -> None:
    raw = (
        b"From: =?utf-8?q?M=C3=BCller=2C_J=C3=B6rg?= <j@example.org>\r\n"
        b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= und =?nonsense?q?x?= \xfcbrig\r\n"
        b"Date: never\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nna\xefve\r\n"
    )
    parsed = read_mail(raw)
    assert parsed.meta["from"] == [{"name": "Müller, Jörg", "address": "j@example.org"}]
    assert parsed.title == "Grüße und x übrig"
    assert parsed.meta["date_as_written"] == "never"
    assert parsed.text.endswith("naïve")


def test_a_file_name_beyond_ascii_is_read_as_it_stands() -> None:
    raw = (
        b"From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
        b"Content-Type: application/pdf\n"
        b'Content-Disposition: attachment; filename="pl\xc3\xa4n.pdf"\n\nPDF\n--x--\n'
    )
    _, kept = read_with(mail.read, raw, "message/rfc822")
    assert [name for name, _ in kept.attached] == ["plän.pdf"]


def test_too_many_attachments_are_counted_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    message = files.mail()
    for i in range(mail.MAX_ATTACHMENTS + 3):
        message.add_attachment(b"x%d" % i, maintype="application", subtype="octet-stream", filename=f"{i}")
    parsed, kept = read_with(mail.read, message.as_bytes(), "message/rfc822")
    assert len(kept.attached) == mail.MAX_ATTACHMENTS
    assert parsed.meta["notice"].startswith("3 parts")


def test_a_mail_nested_without_end_is_refused() -> None:
    depth = 3000
    parts = [f'Content-Type: multipart/mixed; boundary="b{i}"\r\n\r\n--b{i}\r\n' for i in range(depth)]
    raw = f"From: a@example.org\r\nMIME-Version: 1.0\r\n{''.join(parts)}".encode()
    with pytest.raises(Unreadable, match="nested too deeply"):
        read_mail(raw)
    shallow = f"From: a@example.org\r\nMIME-Version: 1.0\r\n{''.join(parts[: mail.MAX_DEPTH + 5])}".encode()
    assert "not read" in read_mail(shallow).meta["notice"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Grüße – “quoted”".encode(), "utf-8"),
        ("Grüße".encode("utf-16"), "utf-16"),
        ("Plain words and Grüße".encode("utf-16-le"), "utf-16-le"),
        ("Plain words and Grüße".encode("utf-16-be"), "utf-16-be"),
        ("Grüße aus Köln".encode("cp1252"), "cp1252"),
        (b"\xef\xbb\xbfwith a mark", "utf-8-sig"),
    ],
)
def test_text_of_any_usual_encoding_is_read(content: bytes, encoding: str) -> None:
    parsed = read_text(content)
    assert parsed.meta["encoding"] == encoding
    assert parsed.text in (content.decode(encoding), content.decode(encoding).lstrip("\ufeff"))


def test_binary_data_is_no_text() -> None:
    with pytest.raises(Unreadable, match="binary"):
        read_text(bytes(range(256)) * 4)


def test_a_markdown_heading_is_the_title() -> None:
    assert read_text(b"intro\n\n# The Plan #\n\ntext", "text/markdown").title == "The Plan"
    assert read_text(b"The Plan\n========\n\ntext", "text/markdown").title == "The Plan"


def test_characters_that_no_database_holds_are_taken_out() -> None:
    assert clean("a\x00b\ud800c\ufeff\r\nd\re\xa0f") == "abc\nd\ne f"
    assert clean("co\u00adop\u00ad\nted") == "coop-\nted"


def test_html_becomes_readable_text() -> None:
    page = "<html><head><title>t</title><body><h1>Head</h1><p>One<br>two &amp; three</p><ul><li>a<li>b</ul>"
    assert text_of(page) == "Head\n\nOne\ntwo & three\n\na\nb"
    message = EmailMessage()
    message.set_content("<style>p{}</style><p>kept", subtype="html")
    assert read_mail(b"From: a@example.org\n" + message.as_bytes()).text.endswith("kept")


def test_reading_a_pdf_loads_no_model_for_layouts() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, handlers.parsing.pdf, handlers.paper_pages; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = said.stdout.split()
    assert "pymupdf" in loaded
    assert not {"onnxruntime", "pymupdf4llm", "pymupdf.layout"} & set(loaded)
