"""Pages that are pictures are read by OCR, those that have text are not."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from handlers.parsing import ocr, pdf, pdf_scans
from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import Parsed
from handlers.parsing.pdf_lines import rows_of
from handlers.parsing.pdf_scans import Look
from tests.handlers import files
from tests.handlers.outlet import read_with
from tests.handlers.pictures import WORDS, scan, sheet

STAMP = "Case 2:15-cv-05642-ABC  Document 465  Filed 08/01/19  Page 1 of 1  Page ID #:8083"


@pytest.fixture(autouse=True)
def _engine() -> None:
    try:
        ocr.recogniser("", "eng")
    except ocr.Missing as error:
        pytest.skip(str(error))


def read_pdf(path: Path, **tools: str) -> Parsed:
    return read_with(pdf.read, path, "application/pdf", **tools)[0]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


PRINTED = words(" ".join(WORDS))


def test_a_scan_becomes_text_marked_as_recognised(tmp_path: Path) -> None:
    parsed = read_pdf(scan(tmp_path / "a.pdf", printed="And a page of text."))
    first, second = (parsed.text[start:end] for start, end in parsed.pages)
    assert words(first) == PRINTED
    assert second == "And a page of text."
    assert parsed.meta["ocr"]["pages"] == [1]
    assert parsed.meta["ocr"]["confidence"]["1"] > 0.9
    assert parsed.meta["ocr"]["language"] == "eng"
    assert "notice" not in parsed.meta


@pytest.mark.parametrize(("turn", "rotation"), [(0, 0), (180, 0), (90, 0), (270, 0), (0, 90), (90, 270)])
def test_boxes_lie_on_the_print_however_the_page_is_turned(tmp_path: Path, turn: int, rotation: int) -> None:
    path = scan(tmp_path / "a.pdf", turn=turn, rotation=rotation)
    parsed = read_pdf(path)
    assert words(parsed.text) == PRINTED
    assert len(parsed.lines) == len(WORDS)
    page = pymupdf.open(path)[0]
    shown = pdf_scans.grey(page, 72)
    covered = shown.copy()
    for line in parsed.lines:
        x0, y0, x1, y1 = (round(value) for value in line.box)
        assert shown[y0:y1, x0:x1].min() < 128
        covered[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = 255
    assert covered.min() > 200


@pytest.mark.parametrize("angle", [-4, 3])
def test_a_crooked_scan_is_read_and_its_boxes_lie_on_the_print(tmp_path: Path, angle: int) -> None:
    straight = Image.open(io.BytesIO(sheet()))
    crooked = io.BytesIO()
    straight.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255).save(crooked, "PNG")
    document = pymupdf.open()
    page = document.new_page(width=612, height=396)
    page.insert_image(page.rect, stream=crooked.getvalue())
    document.save(tmp_path / "a.pdf")
    parsed = read_pdf(tmp_path / "a.pdf")
    assert words(parsed.text) == PRINTED
    shown = pdf_scans.grey(page, 72).copy()
    for line in parsed.lines:
        x0, y0, x1, y1 = (round(value) for value in line.box)
        assert y1 - y0 < 60
        shown[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = 255
    assert shown.min() > 200


def test_a_stamp_is_no_text_layer_and_is_kept_once(tmp_path: Path) -> None:
    parsed = read_pdf(scan(tmp_path / "a.pdf", stamp=STAMP))
    assert parsed.meta["ocr"]["pages"] == [1]
    assert parsed.text.startswith(STAMP)
    assert parsed.text.count("Document 465") == 1
    assert words(parsed.text.removeprefix(STAMP)) == PRINTED


def test_the_layer_of_another_ocr_program_is_kept_and_told(tmp_path: Path) -> None:
    parsed = read_pdf(scan(tmp_path / "a.pdf", layer=WORDS))
    assert words(parsed.text) == PRINTED
    assert parsed.meta["ocr_layer"] == [1]
    assert "ocr" not in parsed.meta


def test_a_layer_that_is_hardly_text_is_replaced_and_that_is_told(tmp_path: Path) -> None:
    parsed = read_pdf(
        scan(tmp_path / "a.pdf", layer=("~··-··-:;,.|~··f·-··", "....~?~?19..·····-··7;4~~", "!!·-·|·"))
    )
    assert words(parsed.text) == PRINTED
    assert parsed.meta["ocr"]["replaced_layer"] == [1]
    assert "recognised anew" in parsed.meta["notice"]


def test_without_data_the_pages_are_listed_and_the_remedy_is_named(tmp_path: Path) -> None:
    path = scan(tmp_path / "a.pdf", stamp=STAMP, printed="And a page of text.")
    parsed = read_pdf(path, tessdata=str(tmp_path), ocr_languages="eng+deu")
    assert parsed.meta["ocr_needed"] == [1]
    assert "And a page of text." in parsed.text
    for said in ("page 1", "tesseract-ocr-eng tesseract-ocr-deu", "CASEWIRE_TESSDATA", str(tmp_path)):
        assert said in parsed.meta["notice"]


def test_a_language_without_data_is_told(tmp_path: Path) -> None:
    parsed = read_pdf(scan(tmp_path / "a.pdf"), ocr_languages="eng+xyz")
    assert parsed.meta["ocr"]["language"] == "eng"
    assert "no OCR data for xyz" in parsed.meta["notice"]


def test_a_picture_without_text_is_told_and_gives_none(tmp_path: Path) -> None:
    parsed = read_pdf(files.picture_pdf(tmp_path / "a.pdf"))
    assert parsed.text == ""
    assert parsed.meta["ocr"]["confidence"] == {"1": 0.0}
    assert "no text was recognised" in parsed.meta["notice"]


def test_a_page_that_takes_too_long_is_given_up_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "PAGE_S", 0.001)
    parsed = read_pdf(scan(tmp_path / "a.pdf", stamp=STAMP, printed="And a page of text."))
    assert parsed.meta["ocr_failed"] == [1]
    assert "took too long" in parsed.meta["notice"]
    assert STAMP in parsed.text
    assert "And a page of text." in parsed.text


def test_pages_of_text_need_no_ocr_whatever_pictures_they_have(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    for i in range(30):
        page.insert_text((72, 72 + 20 * i), "A letter is written here, line after line after line.")
    page.insert_image(
        pymupdf.Rect(400, 700, 500, 760), stream=pymupdf.Pixmap(pymupdf.csRGB, (0, 0, 90, 60)).tobytes()
    )
    assert pdf_scans.look(page, rows_of(page)) is Look.TEXT
    empty = document.new_page()
    assert pdf_scans.look(empty, []) is Look.TEXT


def test_letters_drawn_as_shapes_are_recognised(tmp_path: Path) -> None:
    source = pymupdf.open(files.pdf(tmp_path / "a.pdf", ["The lighthouse keeper left no letter behind."]))
    drawn = pymupdf.open("svg", source[0].get_svg_image(text_as_path=True).encode())
    (tmp_path / "b.pdf").write_bytes(drawn.convert_to_pdf())
    parsed = read_pdf(tmp_path / "b.pdf")
    assert parsed.text == "The lighthouse keeper left no letter behind."
    assert parsed.meta["ocr"]["pages"] == [1]


@pytest.mark.parametrize(
    ("width", "height", "own", "dpi"),
    [
        (612, 792, 200, 300),
        (612, 792, 600, 300),
        (120, 86, 2400, 600),
        (2160, 2160, 300, 166),
        (0.1, 0.1, 0, 300),
    ],
)
def test_resolution_follows_the_page_within_its_bounds(
    width: float, height: float, own: float, dpi: int
) -> None:
    assert ocr.resolution(width, height, own) == dpi


EXHIBITS = {
    # Read off the pages by eye.
    ("P050", 2): ["OVERALL APPS 4854 3301 68% 277", "SEARCHED APPS 2655 2027 76% 118", "708 726 713 32"],
    ("P050", 3): [
        "SEARCHES 2012 - CLASS OF 2017",
        "35,518 34,882",
        "BCNP LEVEL 3 1170 - 1260 11,082 11,272",
        "mailed to US",
    ],
    ("P050", 4): ["SEARCH 2016", "UT, VT,", "TOTAL 49041 50387 79", "99,503"],
    ("P050", 5): ["29,645 29,910 35,518", "subtotal 53941 47898 105", "97,802 98,399 108,595 10%"],
    ("P050", 6): [
        "Here are the numbers for this year’s PSAT search.",
        "I could put them back in.",
        "NB: GPA not included",
    ],
    ("D031", 1): ["2013 29114 2175 1663 2974 10.2% 231 10.6%", "2012 27462 2175 1658 2675", "5/2/2014"],
    ("D031", 2): [
        "1987 12537 2292 1615 572 4.6% 102 4.5% 17.8%",
        "may also include foreign citizens",
        "HARV00023176",
    ],
    ("D042", 1): [
        "Demographic Breakdown of Applicants, Admits, and Matriculants",
        "White 6991 38.4% 863 41.6% 690 42.8%",
    ],
    ("D042", 8): ["Class of 2012", "Asian Am 5378 19.6% 415 19.1% 7.7% 348 21.0% 83.9% 5295", "HARV00032516"],
    ("D042", 10): ["SAT Averages", "Total 692 737 735 690 734 732 694 738 736", "DX042.0010"],
}


def exhibit(documents: Path, tmp_path: Path, name: str, page: int) -> Path:
    document = pymupdf.open(documents / "case2_sffa_v_harvard" / "exhibits" / f"{name}.pdf")
    document.select([page - 1])
    document.save(tmp_path / "page.pdf")
    return tmp_path / "page.pdf"


def assert_says(text: str, phrases: list[str]) -> None:
    said = " ".join(text.split())
    assert [phrase for phrase in phrases if phrase not in said] == []


@pytest.mark.parametrize(("name", "page"), [("P050", 3), ("P050", 6), ("D031", 2), ("D042", 1)])
def test_exhibits_that_are_pictures_say_what_is_on_them(
    documents: Path, tmp_path: Path, name: str, page: int
) -> None:
    assert_says(read_pdf(exhibit(documents, tmp_path, name, page)).text, EXHIBITS[name, page])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "page"), EXHIBITS)
def test_every_exhibit_that_is_a_picture_says_what_is_on_it(
    documents: Path, tmp_path: Path, name: str, page: int
) -> None:
    assert_says(read_pdf(exhibit(documents, tmp_path, name, page)).text, EXHIBITS[name, page])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("skew", ["32 Track MIDI Sequence Recorder", "press RECORD and PLAY"]),
        ("rotated_skew", ["all timing errors will be corrected"]),
        ("ca4_17", ["Appeal: 17-2218", "APPEARANCE OF COUNSEL FORM", "CERTIFICATE OF SERVICE"]),
        ("c02-22", ["tip-toeing along a path"]),
        ("needs_ocr", ["Waarom dit formulier?"]),
        ("file_image", ["image-based PDFs"]),
        ("ocr_samples", ["AN OBSESSION WITH TIME"]),
        ("ocr_pdf_variation", ["Case: 21-1298", "UNITED"]),
        ("2400dpi", ["3 liter water"]),
    ],
)
def test_scans_say_what_is_on_them(documents: Path, name: str, phrases: list[str]) -> None:
    text = " ".join(read_pdf(documents / "scans" / f"{name}.pdf").text.split()).lower()
    assert [phrase for phrase in phrases if phrase.lower() not in text] == []
