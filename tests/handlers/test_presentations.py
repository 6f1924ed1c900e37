"""What the readers of PPTX, PPT and ODP make of slides, and EPUB of chapters."""

from __future__ import annotations

from handlers.parsing import epub, odf, ooxml, ppt
from handlers.parsing.parsed import Parsed
from tests.handlers import office_files as files
from tests.handlers.office_files import relations, shape
from tests.handlers.outlet import read_with


def pages(parsed: Parsed) -> list[str]:
    return [parsed.text[start:end] for start, end in parsed.pages]


def test_each_slide_is_a_page_with_its_title_first() -> None:
    content = files.pptx(
        [shape("Point one", "Point two") + shape("The heading", kind="title"), shape("Last")]
    )
    parsed, kept = read_with(ooxml.read, content, "")
    assert pages(parsed) == ["The heading\n\nPoint one\nPoint two", "Last"]
    assert kept.told[-1] == (2, 2, "slides")


def test_what_is_alike_on_every_slide_is_left_out() -> None:
    parsed, _ = read_with(ooxml.read, files.pptx([shape("Body") + shape("7", kind="sldNum")]), "")
    assert parsed.text == "Body"


def test_hidden_slides_and_shapes_are_marked() -> None:
    secret = shape("Secret").replace('name="x"', 'name="x" hidden="1"')
    parsed, _ = read_with(ooxml.read, files.pptx([shape("One") + secret, shape("Two")], hidden=(2,)), "")
    assert pages(parsed) == ["One\n\n[hidden: Secret]", "[hidden slide]\n\nTwo"]
    assert parsed.meta["hidden"] == ["Secret", "slide 2"]


def test_tables_groups_notes_and_comments_belong_to_their_slide() -> None:
    cells = "".join(f"<a:tc><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:tc>" for text in ("Name", "Pay"))
    frame = f"<p:graphicFrame><a:tbl><a:tr>{cells}</a:tr></a:tbl></p:graphicFrame>"
    held: dict[str, str | bytes] = {
        "ppt/slides/_rels/slide1.xml.rels": relations(
            ("notesSlide", "../notesSlides/n1.xml"), ("comments", "../comments/c1.xml")
        ),
        "ppt/notesSlides/n1.xml": '<p:notes xmlns:p="p" xmlns:a="a"><p:cSld><p:spTree>'
        + shape("1", kind="sldNum")
        + shape("Speak up.")
        + "</p:spTree></p:cSld></p:notes>",
        "ppt/comments/c1.xml": '<p:cmLst xmlns:p="p"><p:cm authorId="0"'
        ' dt="2020-01-02"><p:text>Sure?</p:text></p:cm></p:cmLst>',
        "ppt/commentAuthors.xml": '<p:l xmlns:p="p"><p:cmAuthor id="0" name="Cy"/></p:l>',
        "ppt/_rels/presentation.xml.rels": relations(
            ("slide", "slides/slide1.xml"), ("commentAuthors", "commentAuthors.xml")
        ),
    }
    parsed, _ = read_with(ooxml.read, files.pptx([f"<p:grpSp>{shape('Grouped')}</p:grpSp>{frame}"], held), "")
    assert pages(parsed) == ["Grouped\n\nName | Pay\n\nNotes: Speak up.\n\nComment by Cy, 2020-01-02: Sure?"]
    assert parsed.meta["annotations"][0]["page"] == 1


def test_an_old_presentation_reads_like_a_new_one() -> None:
    content = files.ppt([("Title one", "Box text", "Say hi"), ("Two", "b\rc", "n")], hidden=(2,))
    parsed, _ = read_with(ppt.read, content, "")
    assert pages(parsed) == [
        "Title one\n\nBox text\n\nNotes: Say hi",
        "[hidden slide]\n\nTwo\n\nb\nc\n\nNotes: n",
    ]
    assert parsed.title == "Title one"


def test_an_open_document_presentation_has_pages_and_notes() -> None:
    def slide(text: str, style: str = "") -> str:
        return (
            f'<draw:page draw:name="{text}" draw:style-name="{style}">'
            f"<draw:frame><draw:text-box><text:p>{text}</text:p>"
            "</draw:text-box></draw:frame><presentation:notes>"
            "<draw:frame><draw:text-box><text:p>Say it.</text:p>"
            "</draw:text-box></draw:frame></presentation:notes></draw:page>"
        )

    styles = (
        '<style:style style:name="H"><style:drawing-page-properties'
        ' presentation:visibility="hidden"/></style:style>'
    )
    body = slide("First") + slide("Second", "H")
    parsed, _ = read_with(odf.read, files.odf("presentation", body, styles=styles), "")
    assert pages(parsed) == ["First\n\nNotes: Say it.", "[hidden slide]\n\nSecond\n\nNotes: Say it."]
    assert parsed.meta["hidden"] == ["slide 2"]


def test_a_book_has_a_page_for_each_chapter_in_reading_order() -> None:
    opf = (
        '<package xmlns:dc="d"><metadata><dc:title>The book'
        "</dc:title><dc:creator>Ada Writer</dc:creator></metadata>"
        '<manifest><item id="b" href="b%20c.xhtml"/><item id="a" href="a.xhtml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    content = files.zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<c><rootfiles><rootfile full-path="OPS/x.opf"/></rootfiles></c>',
            "OPS/x.opf": opf,
            "OPS/a.xhtml": "<html><body><h1>One</h1><p>First.</p></body></html>",
            "OPS/b c.xhtml": "<html><body><p>Second.</p></body></html>",
        }
    )
    parsed, _ = read_with(epub.read, content, "")
    assert pages(parsed) == ["One\n\nFirst.", "Second."]
    assert (parsed.title, parsed.meta["author"]) == ("The book", "Ada Writer")
