"""Text that a PDF's page does not show is told, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.parsing import pdf, pdf_redactions
from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import Parsed
from tests.handlers.outlet import read_with

BLACK, WHITE, YELLOW = (0, 0, 0), (1, 1, 1), (1, 1, 0)
LINE = "The account was opened by Doe on Monday."
NAME = "Doe"


def read_pdf(path: Path, password: str = "") -> Parsed:
    return read_with(pdf.read, path, "application/pdf", password=password)[0]


def page_with_line(*, color: tuple[float, float, float] = BLACK, rotation: int = 0) -> pymupdf.Page:
    page = pymupdf.open().new_page(width=600, height=300)
    page.insert_text((60, 100), LINE, fontsize=14, color=color)
    page.insert_text((60, 140), "Nothing is wrong with this line.", fontsize=14)
    page.set_rotation(rotation)
    return page


def grown(box: pymupdf.Rect, across: float, down: float) -> pymupdf.Rect:
    return pymupdf.Rect(box.x0 - across, box.y0 - down, box.x1 + across, box.y1 + down)


def place(page: pymupdf.Page) -> pymupdf.Rect:
    """Where the name stands, before the page is turned."""
    turned = page.rotation
    page.set_rotation(0)
    (box,) = page.search_for(NAME)
    page.set_rotation(turned)
    return grown(box, 1, -1)


def box_over(page: pymupdf.Page) -> None:
    page.draw_rect(place(page), color=None, fill=BLACK)


def white_box_over(page: pymupdf.Page) -> None:
    page.draw_rect(place(page), color=None, fill=WHITE)


def hatched_box_over(page: pymupdf.Page) -> None:
    box = place(page)
    page.draw_rect(box, color=None, fill=BLACK)
    page.draw_line(box.tl, box.br, color=(0.5, 0.5, 0.5))
    page.draw_line(box.bl, box.tr, color=(0.5, 0.5, 0.5))


def two_boxes_over(page: pymupdf.Page) -> None:
    box = place(page)
    shape = page.new_shape()
    shape.draw_rect(pymupdf.Rect(box.tl, (box.x0 + box.width / 2 + 1, box.y1)))
    shape.draw_rect(pymupdf.Rect((box.x0 + box.width / 2, box.y0), box.br))
    shape.finish(color=None, fill=BLACK)
    shape.commit()


def picture_over(page: pymupdf.Page) -> None:
    black = pymupdf.Pixmap(pymupdf.csRGB, (0, 0, 20, 20))
    black.clear_with(0)
    page.insert_image(place(page), pixmap=black, keep_proportion=False)


def black_mark_over(page: pymupdf.Page) -> None:
    mark = page.add_rect_annot(place(page))
    mark.set_colors(stroke=BLACK, fill=BLACK)
    mark.update()


def black_behind(page: pymupdf.Page) -> None:
    page.draw_rect(place(page), color=None, fill=BLACK, overlay=False)


def marked_only(page: pymupdf.Page) -> None:
    page.add_redact_annot(place(page))


@pytest.mark.parametrize(
    ("hide", "why"),
    [
        (box_over, "covered"),
        (white_box_over, "covered"),
        (hatched_box_over, "covered"),
        (two_boxes_over, "covered"),
        (picture_over, "covered"),
        (black_mark_over, "covered"),
        (black_behind, "same colour"),
        (marked_only, "not applied"),
    ],
)
@pytest.mark.parametrize("rotation", [0, 90])
def test_hidden_text_is_told_with_its_place_and_stays_searchable(
    tmp_path: Path, hide: Callable[[pymupdf.Page], None], why: str, rotation: int
) -> None:
    page = page_with_line(rotation=rotation)
    hide(page)
    page.parent.save(tmp_path / "a.pdf")
    parsed = read_pdf(tmp_path / "a.pdf")
    (found,) = parsed.meta["redactions"]
    assert (found["page"], found["text"], found["why"]) == (1, NAME, why)
    expected = place(page) * page.rotation_matrix
    assert abs(pymupdf.Rect(found["box"]) & expected) > 0.7 * abs(expected)
    assert LINE in parsed.text
    assert "redactions that do not redact" in parsed.meta["notice"]


def test_white_letters_on_white_paper_are_told(tmp_path: Path) -> None:
    page = page_with_line(color=WHITE)
    page.parent.save(tmp_path / "a.pdf")
    assert [one["text"] for one in read_pdf(tmp_path / "a.pdf").meta["redactions"]] == [LINE]


def test_boxes_in_an_encrypted_file_are_seen_through_as_well(tmp_path: Path) -> None:
    page = page_with_line()
    box_over(page)
    page.parent.save(
        tmp_path / "a.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="sesame", owner_pw="owner"
    )
    assert [one["text"] for one in read_pdf(tmp_path / "a.pdf", "sesame").meta["redactions"]] == [NAME]


def applied(page: pymupdf.Page) -> None:
    page.add_redact_annot(place(page), fill=BLACK)
    page.apply_redactions()


def highlighted(page: pymupdf.Page) -> None:
    page.add_highlight_annot(place(page)).update()


def glass_over(page: pymupdf.Page) -> None:
    page.draw_rect(place(page), color=None, fill=YELLOW, fill_opacity=0.4)


def frame_around(page: pymupdf.Page) -> None:
    page.draw_rect(place(page), color=BLACK)


def thick_frame_around(page: pymupdf.Page) -> None:
    shape = page.new_shape()
    shape.draw_rect(grown(place(page), 6, 6))
    shape.draw_rect(place(page))
    shape.finish(color=None, fill=BLACK, even_odd=True)
    shape.commit()


def paper_behind(page: pymupdf.Page) -> None:
    page.draw_rect(page.rect, color=None, fill=WHITE, overlay=False)


def box_over_space(page: pymupdf.Page) -> None:
    page.draw_rect(pymupdf.Rect(400, 80, 500, 110), color=None, fill=BLACK)


def box_over_half(page: pymupdf.Page) -> None:
    box = place(page)
    page.draw_rect(pymupdf.Rect(box.x0, box.y0, box.x1, box.y0 + 0.6 * box.height), color=None, fill=BLACK)


def white_on_black(page: pymupdf.Page) -> None:
    page.draw_rect(pymupdf.Rect(50, 180, 300, 210), color=None, fill=BLACK)
    page.insert_text((60, 200), "A heading in white", color=WHITE, fontsize=14)


def shaded_cells(page: pymupdf.Page) -> None:
    for i in range(8):
        page.draw_rect(
            pymupdf.Rect(50, 80 + 10 * i, 350, 90 + 10 * i), color=None, fill=(0.9,) * 3, overlay=False
        )


@pytest.mark.parametrize(
    "harmless",
    [
        applied,
        highlighted,
        glass_over,
        frame_around,
        thick_frame_around,
        paper_behind,
        box_over_space,
        box_over_half,
        white_on_black,
        shaded_cells,
    ],
)
def test_text_in_sight_is_not_told(tmp_path: Path, harmless: Callable[[pymupdf.Page], None]) -> None:
    page = page_with_line()
    harmless(page)
    page.parent.save(tmp_path / "a.pdf")
    assert "redactions" not in read_pdf(tmp_path / "a.pdf").meta


def test_an_ocr_layer_tells_what_was_blackened_on_its_scan_later(tmp_path: Path) -> None:
    paper = pymupdf.Pixmap(pymupdf.csRGB, (0, 0, 600, 300))
    paper.clear_with(250)
    page = pymupdf.open().new_page(width=600, height=300)
    page.insert_image(page.rect, pixmap=paper)
    page.insert_text((60, 100), LINE, fontsize=14, render_mode=3)
    assert pdf_redactions.hidden_text(tmp_path, "", page, ()) == []
    page.draw_rect(grown(place(page), 1, 4), color=None, fill=BLACK)
    page.parent.save(tmp_path / "a.pdf")
    assert [one["text"] for one in read_pdf(tmp_path / "a.pdf").meta["redactions"]] == [NAME]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bad_cross_hatched_redactions", 15),
        ("no_bad_redactions.7.1", 0),
        ("partial_intersections_ok", 0),
        ("rectangles_no", 0),
        ("rectangles_yes", 3),
        ("unfilled_rect", 0),
        ("whitespace_redactions", 0),
        ("whitespace_redactions_2", 0),
    ],
)
def test_real_redactions_are_judged_as_the_eye_does(documents: Path, name: str, count: int) -> None:
    meta = read_pdf(documents / "redaction" / f"{name}.pdf").meta
    assert len(meta.get("redactions", ())) == count


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["court", "contracts", "case2_sffa_v_harvard/transcripts"])
def test_documents_without_redactions_raise_no_alarm(documents: Path, folder: str) -> None:
    for path in sorted((documents / folder).glob("*.pdf")):
        with pymupdf.open(path) as document:
            for page in document:
                rows = pdf.rows_of(page)
                assert pdf_redactions.hidden_text(path, "", page, rows) == [], (path.name, page.number + 1)
