"""What the readers of DOCX, DOC and ODT make of documents whose every part is known."""

from __future__ import annotations

import pytest

from handlers.parsing import doc, odf, ooxml
from handlers.parsing.parsed import Parsed, Unreadable
from tests.handlers import office_files as files
from tests.handlers.office_files import p, part, r, relations, table
from tests.handlers.outlet import Kept, read_with

_STYLES = part(
    "styles",
    '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="H1b"><w:basedOn w:val="H1"/><w:name w:val="Own"/>'
    '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="character" w:styleId="Gone"><w:name w:val="Gone"/><w:rPr><w:vanish/></w:rPr></w:style>',
)
_NUMBERING = part(
    "numbering",
    '<w:abstractNum w:abstractNumId="0">'
    '<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl>'
    '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>',
)


def read_docx(body: str, parts: dict[str, str | bytes] | None = None) -> tuple[Parsed, Kept]:
    return read_with(ooxml.read, files.docx(body, parts), "")


def numbered(text: str, level: int) -> str:
    return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>')


def test_paragraphs_stand_apart_and_rows_in_lines() -> None:
    parsed, _ = read_docx(p("One.") + table(("Name", "Pay"), ("Ann", "20")) + p("Two."))
    assert parsed.text == "One.\n\nName | Pay\nAnn | 20\n\nTwo."
    assert parsed.pages == []


def test_a_table_that_arranges_text_is_read_cell_by_cell() -> None:
    long = "word " * 100
    parsed, _ = read_docx(table(("Left", long), ("", "Alone")))
    assert parsed.text == f"Left\n\n{long.strip()}\n\nAlone"


def test_properties_give_title_author_and_times() -> None:
    parsed, _ = read_docx(p("One."))
    assert parsed.title == "The title"
    assert parsed.meta["author"] == "Ada Writer"
    assert (parsed.meta["created"], parsed.meta["modified"]) == (
        "2020-01-02T03:04:05Z",
        "2021-01-02T03:04:05Z",
    )


def test_the_numbers_that_word_gives_by_itself_are_written() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(("styles", "styles.xml"), ("numbering", "numbering.xml")),
        "word/styles.xml": _STYLES,
        "word/numbering.xml": _NUMBERING,
    }
    body = numbered("a", 0) + numbered("b", 1) + numbered("c", 1) + p("d", '<w:pStyle w:val="H1b"/>')
    parsed, _ = read_docx(body + numbered("e", 1), held)
    assert parsed.text == "I. a\nI.a) b\nI.b) c\n\nII. d\n\nII.a) e"


def test_footnotes_follow_their_paragraph_and_endnotes_the_text() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(
            ("footnotes", "footnotes.xml"), ("endnotes", "endnotes.xml")
        ),
        "word/footnotes.xml": part(
            "footnotes",
            f'<w:footnote w:type="separator" w:id="0">{p("x")}</w:footnote>'
            f'<w:footnote w:id="2">{p("The foot.")}</w:footnote>',
        ),
        "word/endnotes.xml": part("endnotes", f'<w:endnote w:id="3">{p("The end.")}</w:endnote>'),
    }
    one = f'<w:p>{r("One")}<w:r><w:endnoteReference w:id="3"/></w:r></w:p>'
    two = f'<w:p>{r("Two")}<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    parsed, _ = read_docx(one + two + p("Three"), held)
    assert parsed.text == "One[1]\n\nTwo[2]\n\n[2] The foot.\n\nThree\n\n[1] The end."


def test_a_footnote_within_a_table_follows_its_row() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(("footnotes", "footnotes.xml")),
        "word/footnotes.xml": part("footnotes", f'<w:footnote w:id="2">{p("Small.")}</w:footnote>'),
    }
    marked = f'<w:p>{r("Pay")}<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    body = f"<w:tbl><w:tr><w:tc>{p('Ann')}</w:tc><w:tc>{marked}</w:tc></w:tr></w:tbl>"
    parsed, _ = read_docx(body, held)
    assert parsed.text == "Ann | Pay[1]\n\n[1] Small."


def test_what_was_inserted_is_text_and_what_was_deleted_is_listed() -> None:
    body = (
        f'<w:p>{r("The fee is ")}<w:del w:id="1" w:author="Bob" w:date="2020-05-06T07:08:09Z">'
        "<w:r><w:delText>10</w:delText></w:r></w:del>"
        '<w:del w:id="2" w:author="Bob" w:date="2020-05-06T07:08:09Z">'
        "<w:r><w:delText>00</w:delText></w:r></w:del>"
        f'<w:ins w:id="3" w:author="Bob">{r("20")}</w:ins>{r(" dollars.")}</w:p>'
    )
    parsed, _ = read_docx(body)
    assert parsed.text.startswith("The fee is 20 dollars.\n\nDeleted text (tracked changes)\n\n")
    assert "Deleted by Bob, 2020-05-06T07:08:09Z: “1000” (beside “The fee is 20 dollars.”)" in parsed.text
    assert [found["text"] for found in parsed.meta["deleted"]] == ["1000"]
    assert "tracked deletions" in parsed.meta["notice"]


def test_moved_text_is_read_where_it_is_now() -> None:
    move = '<w:{0} w:id="1" w:author="Bob"><w:r><w:t>moved</w:t></w:r></w:{0}>'
    parsed, _ = read_docx(f"<w:p>{move.format('moveFrom')}</w:p><w:p>{move.format('moveTo')}</w:p>")
    assert parsed.text.startswith("moved\n\nDeleted text")


def test_comments_say_who_when_and_on_what() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(("comments", "comments.xml")),
        "word/comments.xml": part(
            "comments",
            f'<w:comment w:id="7" w:author="Cy" w:date="2020-01-02T03:04:05Z">{p("Sure?")}</w:comment>',
        ),
    }
    body = (
        f'<w:p>{r("Pay ")}<w:commentRangeStart w:id="7"/>{r("at once")}'
        f'<w:commentRangeEnd w:id="7"/>{r(".")}</w:p>'
    )
    parsed, _ = read_docx(body, held)
    assert parsed.text == (
        "Pay at once.\n\nComments\n\nComment by Cy, 2020-01-02T03:04:05Z on “at once”: Sure?"
    )
    (note,) = parsed.meta["annotations"]
    assert note == {
        "page": 0, "kind": "comment", "author": "Cy", "text": "Sure?", "at": "2020-01-02T03:04:05Z",
        "on": "at once",
    }  # fmt: skip


def test_hidden_text_is_marked_where_it_stands() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(("styles", "styles.xml")),
        "word/styles.xml": _STYLES,
    }
    body = (
        f"<w:p>{r('Open ')}{r('se', '<w:vanish/>')}{r('cret', '<w:vanish/>')}{r(' end ')}{r('x', _RUN)}</w:p>"
    )
    parsed, _ = read_docx(body, held)
    assert parsed.text == "Open [hidden: secret] end [hidden: x]"
    assert parsed.meta["hidden"] == ["secret", "x"]


_RUN = '<w:rStyle w:val="Gone"/>'


def test_headers_and_footers_are_written_once() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(
            ("header", "header1.xml"), ("header", "header2.xml"), ("footer", "footer1.xml")
        ),
        "word/header1.xml": part("hdr", p("Secret draft")),
        "word/header2.xml": part("hdr", p("Secret draft")),
        "word/footer1.xml": part("ftr", p("Page one")),
    }
    parsed, _ = read_docx(p("Body"), held)
    assert parsed.text == "Secret draft\n\nBody\n\nPage one"


def test_a_text_box_is_read_once_after_its_paragraph() -> None:
    box = f"<w:txbxContent>{p('In the box')}</w:txbxContent>"
    drawn = (
        f"<w:r><mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    parsed, _ = read_docx(f"<w:p>{r('Before')}{drawn}</w:p>{p('After')}")
    assert parsed.text == "Before\n\nIn the box\n\nAfter"


def test_links_and_fields_that_reach_outside_are_told_and_never_followed() -> None:
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(
            ("hyperlink", "https://example.org/page", "External"),
            ("attachedTemplate", "http://evil.example/t.dotm", "External"),
        )
    }
    dde = (
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>DDEAUTO c:\\\\cmd.exe "/k calc"'
        '</w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )
    body = f'<w:p><w:hyperlink r:id="rId1">{r("the page")}</w:hyperlink>{dde}</w:p>'
    parsed, _ = read_docx(body, held)
    assert parsed.text == "the page <https://example.org/page>"
    assert parsed.meta["external"] == [
        "attachedTemplate http://evil.example/t.dotm",
        'field DDEAUTO c:\\\\cmd.exe "/k calc"',
    ]
    assert "2 outside sources" in parsed.meta["notice"]


def test_macros_are_told() -> None:
    parsed, _ = read_docx(p("x"), {"word/vbaProject.bin": b"\xd0\xcf"})
    assert parsed.meta["macros"] is True
    assert "macros, which were not run" in parsed.meta["notice"]


def test_pictures_go_out_once_unless_they_are_tiny() -> None:
    held: dict[str, str | bytes] = {
        "word/media/image1.png": files.picture(100, 50),
        "word/media/image2.png": files.picture(100, 50),
        "word/media/image3.png": files.picture(99, 50),
        "word/media/image4.png": files.picture(300, 300),
    }
    _, kept = read_docx(p("x"), held)
    assert [name for name, _ in kept.attached] == ["image1.png", "image4.png"]
    assert kept.attached[0][1] == held["word/media/image1.png"]


def test_the_text_of_a_drawing_is_text() -> None:
    parsed, kept = read_docx(p("x"), {"word/media/image1.emf": files.emf("Signed by Ada")})
    assert parsed.text == "x\n\n[drawing: Signed by Ada]"
    assert kept.attached == []


def test_embedded_objects_are_unwrapped() -> None:
    held: dict[str, str | bytes] = {
        "word/embeddings/oleObject1.bin": files.packaged("plan.pdf", b"%PDF-1.4 x"),
        "word/embeddings/sheet.xlsx": b"PK\x03\x04 inside",
    }
    _, kept = read_docx(p("x"), held)
    assert kept.attached == [("plan.pdf", b"%PDF-1.4 x"), ("sheet.xlsx", b"PK\x03\x04 inside")]


def test_what_is_not_accepted_any_more_is_counted() -> None:
    held: dict[str, str | bytes] = {f"word/media/image{i}.png": files.picture(200, 100 + i) for i in range(4)}
    parsed, kept = read_with(ooxml.read, files.docx(p("x"), held), "", files=1)
    assert len(kept.attached) == 1
    assert parsed.meta["left_out"] == 3
    assert "more than 1 files" in parsed.meta["notice"]


def test_a_chart_says_its_title_and_its_numbers() -> None:
    points = "".join(f'<c:pt idx="{i}"><c:v>{v}</c:v></c:pt>' for i, v in enumerate(("East", "West")))
    values = "".join(f'<c:pt idx="{i}"><c:v>{v}</c:v></c:pt>' for i, v in enumerate((1.5, 2.5)))
    chart = (
        '<c:chartSpace xmlns:c="c" xmlns:a="a"><c:chart><c:title>'
        "<a:p><a:r><a:t>Sales</a:t></a:r></a:p></c:title>"
        f"<c:ser><c:tx><c:v>2001</c:v></c:tx><c:cat>{points}</c:cat><c:val>{values}</c:val></c:ser>"
        "</c:chart></c:chartSpace>"
    )
    held: dict[str, str | bytes] = {
        "word/_rels/document.xml.rels": relations(("chart", "charts/chart1.xml")),
        "word/charts/chart1.xml": chart,
    }
    drawing = '<w:r><w:drawing><c:chart xmlns:c="c" r:id="rId1"/></w:drawing></w:r>'
    parsed, _ = read_docx(f"<w:p>{drawing}</w:p>", held)
    assert parsed.text == "Chart: Sales\n| 2001\nEast | 1.5\nWest | 2.5"


def test_both_editions_of_the_format_read_alike() -> None:
    content = files.docx(p("Strict"))
    body = p("Strict").replace("w:", "x:")
    parts: dict[str, str | bytes] = {
        "word/document.xml": f'<x:document xmlns:x="http://purl.oclc.org/ooxml/wordprocessingml/main"><x:body>{body}'
        "</x:body></x:document>"
    }
    strict = files.ooxml("word/document.xml", parts)
    assert read_with(ooxml.read, strict, "")[0].text == read_with(ooxml.read, content, "")[0].text


def test_an_old_document_gives_its_text_in_order() -> None:
    parsed, _ = read_with(doc.read, files.doc("First.\rA\x07B\x07\x07\x13 DDE x \x14shown\x15 last.\r"), "")
    assert parsed.text.startswith("First.\n\nA | B")
    assert parsed.text.endswith("shown last.")
    assert parsed.meta["external"] == ["field DDE x"]


def test_an_old_document_marks_hidden_text_and_lists_deletions() -> None:
    content = files.doc("One two gone three.\rSecret words.\r", deleted="gone ", hidden="Secret")
    parsed, _ = read_with(doc.read, content, "")
    assert parsed.text.startswith("One two three.\n\n[hidden: Secret] words.")
    assert "Deleted: “gone” (beside “One two three.”)" in parsed.text
    assert parsed.meta["hidden"] == ["Secret"]


def test_an_old_document_that_is_cut_off_says_so() -> None:
    whole = files.doc("Sentence. " * 2000 + "\r")
    with pytest.raises(Unreadable, match="damaged"):
        read_with(doc.read, whole[:3000], "")


def test_an_open_document_text_is_read_in_order() -> None:
    body = (
        '<text:tracked-changes><text:changed-region text:id="c1"><text:deletion><office:change-info>'
        "<dc:creator>Bob</dc:creator><dc:date>2020-01-02T03:04:05</dc:date></office:change-info>"
        "<text:p>ten</text:p></text:deletion></text:changed-region></text:tracked-changes>"
        "<text:h>Heading</text:h>"
        '<text:p>The  fee<text:s text:c="2"/>is <text:change text:change-id="c1"/>twenty'
        '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>'
        "<text:p>A note.</text:p></text:note-body></text:note>"
        "<office:annotation><dc:creator>Cy</dc:creator><dc:date>2020-02-02</dc:date><text:p>Sure?</text:p>"
        '</office:annotation> <text:span text:style-name="H">secret</text:span>.</text:p>'
        "<text:list><text:list-item><text:p>a</text:p></text:list-item>"
        "<text:list-item><text:p>b</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>Name</text:p></table:table-cell>"
        "<table:table-cell><text:p>Pay</text:p></table:table-cell></table:table-row></table:table>"
    )
    styles = '<style:style style:name="H"><style:text-properties text:display="none"/></style:style>'
    parsed, _ = read_with(odf.read, files.odf("text", body, styles=styles), "")
    assert parsed.text.startswith(
        "Heading\n\nThe fee  is twenty[1] [hidden: secret].\n\n[1]"
        " A note.\n\n• a\n• b\n\nName | Pay\n\nComments\n\n"
    )
    assert "Comment by Cy, 2020-02-02: Sure?" in parsed.text
    assert "Deleted by Bob, 2020-01-02T03:04:05: “ten”" in parsed.text
    assert (parsed.title, parsed.meta["author"]) == ("The title", "Ada Writer")


def test_an_open_document_tells_macros_pictures_and_what_lies_outside() -> None:
    held: dict[str, str | bytes] = {
        "Basic/Standard/Module1.xml": "<x/>",
        "Pictures/1.png": files.picture(120, 80),
    }
    body = '<text:p><draw:frame><draw:image xlink:href="http://tracker.example/p.png"/></draw:frame></text:p>'
    parsed, kept = read_with(odf.read, files.odf("text", body, held), "")
    assert parsed.meta["macros"] is True
    assert parsed.meta["external"] == ["image http://tracker.example/p.png"]
    assert [name for name, _ in kept.attached] == ["1.png"]


def test_boxes_notes_and_pictures_within_each_other_come_to_an_end() -> None:
    picture = "<draw:frame><draw:image/><svg:desc>A seal</svg:desc></draw:frame>"
    inner = f"<text:p>Label{picture}</text:p><text:p>more</text:p>"
    box = f"<draw:frame><draw:text-box>{inner}</draw:text-box></draw:frame>"
    note = f"<text:note><text:note-body><text:p>Small{picture}</text:p></text:note-body></text:note>"
    body = f'<text:p xmlns:svg="v">One{box}{note}{box}</text:p><text:p>Two</text:p>'
    parsed, _ = read_with(odf.read, files.odf("text", body), "")
    label = "Label\n\n[picture: A seal]\n\nmore"
    assert parsed.text == f"One[1]\n\n{label}\n\n[1] Small\n[picture: A seal]\n\n{label}\n\nTwo"
