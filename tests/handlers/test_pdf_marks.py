"""What a PDF holds beside its printed text: remarks, fields, files, facts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.parsing import pdf, pdf_files
from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import Parsed
from handlers.parsing.pdf_facts import pages_said
from handlers.parsing.pdf_marks import iso_date
from tests.handlers.outlet import Kept, read_with


def read_pdf(path: Path, files: int = 100) -> tuple[Parsed, Kept]:
    return read_with(pdf.read, path, "application/pdf", files=files)


def printed() -> pymupdf.Page:
    page = pymupdf.open().new_page(width=600, height=800)
    page.insert_text((72, 100), "The rent is due on the first of May.", fontsize=12)
    return page


def field(page: pymupdf.Page, name: str, kind: int, value: object, y: float, **more: object) -> None:
    widget = pymupdf.Widget()
    widget.field_name = name
    widget.field_type = kind
    widget.rect = pymupdf.Rect(72, y, 300, y + 20)
    widget.field_value = value
    for key, one in more.items():
        setattr(widget, key, one)
    page.add_widget(widget)


def test_notes_and_highlights_are_facts_and_text(tmp_path: Path) -> None:
    page = printed()
    note = page.add_text_annot((300, 300), "Ask the tenant about this.")
    note.set_info(title="Ann Orr", creationDate="D:20240131120000+01'00'")
    note.update()
    (rent,) = page.search_for("first of May")
    mark = page.add_highlight_annot(rent)
    mark.set_info(title="Ben Poe", content="Contradicts the lease.")
    mark.update()
    page.add_highlight_annot(page.search_for("rent")[0]).update()
    page.parent.save(tmp_path / "a.pdf")
    parsed, _ = read_pdf(tmp_path / "a.pdf")
    note_fact, mark_fact, bare_fact = parsed.meta["annotations"]
    assert note_fact == {
        "page": 1,
        "kind": "text",
        "author": "Ann Orr",
        "text": "Ask the tenant about this.",
        "at": "2024-01-31T12:00:00+01:00",
    }
    assert (mark_fact["kind"], mark_fact["marked"], mark_fact["author"]) == (
        "highlight",
        "first of May.",
        "Ben Poe",
    )
    assert (bare_fact["marked"], bare_fact["text"]) == ("rent", "")
    assert "[Note by Ann Orr] Ask the tenant about this." in parsed.text
    assert "[Remark on a highlight by Ben Poe] Contradicts the lease." in parsed.text
    (line,) = [one for one in parsed.lines if "Ask the tenant" in parsed.text[one.start : one.end]]
    assert abs(pymupdf.Rect(line.box) & pymupdf.Rect(note.rect)) > 0


def test_text_typed_onto_a_page_stands_in_the_text_once(tmp_path: Path) -> None:
    page = printed()
    page.add_freetext_annot((72, 300, 400, 330), "Received by hand").update()
    page.parent.save(tmp_path / "a.pdf")
    parsed, _ = read_pdf(tmp_path / "a.pdf")
    assert parsed.text.count("Received by hand") == 1
    assert parsed.meta["annotations"][0]["kind"] == "freetext"


def test_fields_of_a_form_are_facts_and_can_be_searched(tmp_path: Path) -> None:
    page = printed()
    field(page, "tenant", pymupdf.PDF_WIDGET_TYPE_TEXT, "Ada Quarry", 200)
    field(page, "empty", pymupdf.PDF_WIDGET_TYPE_TEXT, "", 230)
    field(page, "agreed", pymupdf.PDF_WIDGET_TYPE_CHECKBOX, True, 260, field_label="I agree to the terms")
    field(page, "refused", pymupdf.PDF_WIDGET_TYPE_CHECKBOX, False, 290)
    field(page, "floor", pymupdf.PDF_WIDGET_TYPE_COMBOBOX, "second", 320, choice_values=["first", "second"])
    page.parent.save(tmp_path / "a.pdf")
    parsed, _ = read_pdf(tmp_path / "a.pdf")
    assert parsed.meta["form"] == {"tenant": "Ada Quarry", "agreed": "Yes", "floor": "second"}
    assert parsed.text.count("Ada Quarry") == 1
    assert "second" in parsed.text
    assert "[Field I agree to the terms] Yes" in parsed.text


def test_the_value_of_a_field_that_shows_nothing_stands_in_the_text(tmp_path: Path) -> None:
    page = printed()
    field(page, "tenant", pymupdf.PDF_WIDGET_TYPE_TEXT, "Ada Quarry", 200)
    document = page.parent
    document.xref_set_key(next(page.widgets()).xref, "AP", "null")
    document.xref_set_key(document.pdf_catalog(), "AcroForm/NeedAppearances", "false")
    document.save(tmp_path / "a.pdf")
    parsed, _ = read_pdf(tmp_path / "a.pdf")
    assert "Ada Quarry" in parsed.text
    assert parsed.meta["form"] == {"tenant": "Ada Quarry"}


def test_embedded_and_pinned_files_are_sent_once_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = bytes(range(256)) * 20_000
    page = printed()
    page.parent.embfile_add("plan", large, filename="a/../plan.bin", ufilename="Übersicht.bin")
    page.parent.embfile_add("other", b"small", filename="small.txt")
    page.add_file_annot((400, 72), b"pinned words", "note.txt")
    page.parent.save(tmp_path / "a.pdf", deflate=True)
    monkeypatch.setattr(pdf_files, "BLOCK_BYTES", 65_536)
    parsed, kept = read_pdf(tmp_path / "a.pdf")
    assert sorted(kept.attached) == sorted(
        [("Übersicht.bin", large), ("small.txt", b"small"), ("note.txt", b"pinned words")]
    )
    assert "notice" not in parsed.meta
    document = pymupdf.open(tmp_path / "a.pdf")
    blocks = list(pdf_files._blocks(document, pdf_files._embedded(document, 1)))
    assert max(len(block) for block in blocks) <= 65_536


def test_files_beyond_the_limit_are_told(tmp_path: Path) -> None:
    page = printed()
    for i in range(3):
        page.parent.embfile_add(f"{i}", b"%d" % i, filename=f"{i}.txt")
    page.parent.save(tmp_path / "a.pdf")
    parsed, kept = read_pdf(tmp_path / "a.pdf", files=2)
    assert len(kept.attached) == 2
    assert "only 2 were taken up" in parsed.meta["notice"]


def test_a_portfolio_is_told_from_a_document(tmp_path: Path) -> None:
    page = printed()
    page.parent.embfile_add("a", b"a", filename="a.txt")
    page.parent.xref_set_key(page.parent.pdf_catalog(), "Collection", "<</View/D>>")
    page.parent.save(tmp_path / "a.pdf")
    assert read_pdf(tmp_path / "a.pdf")[0].meta["portfolio"] is True


def test_a_document_tells_who_made_it_and_when(tmp_path: Path) -> None:
    page = printed()
    page.parent.set_metadata(
        {
            "author": "Ann Orr",
            "producer": "A press",
            "creationDate": "D:20200102030405Z",
            "modDate": "nonsense",
        }
    )
    page.parent.save(tmp_path / "a.pdf")
    meta = read_pdf(tmp_path / "a.pdf")[0].meta
    assert (meta["author"], meta["producer"], meta["created"]) == (
        "Ann Orr",
        "A press",
        "2020-01-02T03:04:05+00:00",
    )
    assert "modified" not in meta


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("D:20240131120000+01'00'", "2024-01-31T12:00:00+01:00"),
        ("D:20240131120000-0830", "2024-01-31T12:00:00-08:30"),
        ("D:20240131", "2024-01-31T00:00:00"),
        ("20240131120000Z", "2024-01-31T12:00:00+00:00"),
        ("D:20241331", ""),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_dates_become_iso(said: str, date: str) -> None:
    assert iso_date(said) == date


@given(st.text(max_size=40))
def test_any_date_is_read_or_left(said: str) -> None:
    assert isinstance(iso_date(said), str)


@given(st.sets(st.integers(1, 60), min_size=1).map(sorted))
def test_page_numbers_can_be_read_back(numbers: list[int]) -> None:
    said = pages_said(numbers)
    runs = said.removeprefix("pages ").removeprefix("page ").removesuffix(" and others").split(", ")
    read = []
    for run in runs:
        first, _, last = run.partition("–")
        read.extend(range(int(first), int(last or first) + 1))
    assert read == numbers[: len(read)]
    assert len(read) == len(numbers) or said.endswith(" and others")
