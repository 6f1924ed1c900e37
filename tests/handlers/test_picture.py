"""Pictures tell their facts, what they look like, and what is written in them."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, TiffImagePlugin

from handlers.parsing import ocr, picture
from handlers.parsing.fingerprint import fingerprint
from handlers.parsing.parsed import Parsed, Unreadable
from tests.handlers.outlet import read_with
from tests.handlers.pictures import WORDS, sheet


@pytest.fixture
def engine() -> None:
    try:
        ocr.recogniser("", "eng")
    except ocr.Missing as error:
        pytest.skip(str(error))


def read(content: bytes | Path, media_type: str, **tools: str) -> Parsed:
    return read_with(picture.read, content, media_type, **tools)[0]


def scenery(seed: int = 1, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """A blurred landscape that is never seen twice."""
    rough = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)


def saved(shown: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    shown.save(content, form, **options)
    return content.getvalue()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


PRINTED = words(" ".join(WORDS))


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("TIFF", "image/tiff"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("WEBP", "image/webp"),
        ("AVIF", "image/avif"),
    ],
)
def test_text_in_a_picture_of_any_kind_is_read(engine: None, form: str, media_type: str) -> None:
    parsed = read(saved(Image.open(io.BytesIO(sheet())), form), media_type)
    assert words(parsed.text) == PRINTED
    assert (parsed.meta["width"], parsed.meta["height"]) == (1700, 1100)
    assert parsed.meta["ocr"]["confidence"]["1"] > 0.9
    assert parsed.pages == [(0, len(parsed.text))]


def test_a_heic_picture_is_read(engine: None) -> None:
    import pillow_heif

    shown = pillow_heif.from_pillow(Image.open(io.BytesIO(sheet())).convert("RGB"))
    content = io.BytesIO()
    try:
        shown.save(content, quality=90)
    except RuntimeError:
        pytest.skip("this build of libheif cannot write HEIC")
    parsed = read(content.getvalue(), "image/heic")
    assert words(parsed.text) == PRINTED


def test_each_page_of_a_tiff_is_a_page(engine: None) -> None:
    first = Image.open(io.BytesIO(sheet(WORDS[:2])))
    second = Image.open(io.BytesIO(sheet(WORDS[2:])))
    parsed = read(saved(first, "TIFF", save_all=True, append_images=[second]), "image/tiff")
    assert [words(parsed.text[start:end]) for start, end in parsed.pages] == [
        words(" ".join(WORDS[:2])),
        words(" ".join(WORDS[2:])),
    ]
    assert parsed.meta["pages"] == 2
    assert {line.page for line in parsed.lines} == {1, 2}


def camera_jpeg(**gps: object) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS 40D"
    exif.get_ifd(0x8769).update({0x9003: "2021:06:04 10:20:30", 0x9011: "+02:00"})
    ratio = TiffImagePlugin.IFDRational
    exif.get_ifd(0x8825).update(
        {1: "N", 2: (ratio(48), ratio(30), ratio(0)), 3: "W", 4: (ratio(2), ratio(15), ratio(36))} | gps
    )
    return saved(scenery(), "JPEG", exif=exif)


def test_a_camera_tells_when_where_and_with_what() -> None:
    meta = read(camera_jpeg(), "image/jpeg", tessdata="/nonexistent").meta
    assert meta["taken_at"] == "2021-06-04T10:20:30+02:00"
    assert meta["place"] == {"lat": 48.5, "lon": -2.26}
    assert meta["camera"] == "Canon EOS 40D"


def test_a_place_of_fractions_by_zero_is_left_out() -> None:
    nowhere = (TiffImagePlugin.IFDRational(0, 0),) * 3
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: nowhere, 3: "W", 4: nowhere})
    assert (
        "place" not in read(saved(scenery(), "JPEG", exif=exif), "image/jpeg", tessdata="/nonexistent").meta
    )


def test_a_picture_taken_sideways_is_read_upright(engine: None) -> None:
    shown = Image.open(io.BytesIO(sheet()))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    parsed = read(saved(shown.rotate(90, expand=True), "JPEG", exif=exif), "image/jpeg")
    assert words(parsed.text) == PRINTED
    assert (parsed.meta["width"], parsed.meta["height"]) == (1700, 1100)
    x0, y0, x1, _ = parsed.lines[0].box
    assert 110 < x0 < 130 < x1 < 1700
    assert 140 < y0 < 190


def test_a_photograph_gives_no_text(engine: None) -> None:
    parsed = read(saved(scenery(), "JPEG"), "image/jpeg")
    assert parsed.text == ""
    assert "ocr" not in parsed.meta


def test_without_data_for_ocr_that_is_told() -> None:
    parsed = read(sheet(), "image/png", tessdata="/nonexistent")
    assert parsed.meta["ocr_needed"] == [1]
    assert "CASEWIRE_TESSDATA" in parsed.meta["notice"]


def test_a_picture_that_unfolds_too_far_is_refused_unopened() -> None:
    bomb = saved(Image.new("1", (11_000, 10_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(Unreadable, match="11,000 × 10,000 pixels"):
        read(bomb, "image/png")


def test_a_broken_picture_ends_clearly_and_a_cut_one_is_read_in_part() -> None:
    whole = saved(scenery(), "JPEG")
    with pytest.raises(Unreadable, match="damaged"):
        read(b"\xff\xd8\xff" + b"nothing of the kind" * 20, "image/jpeg")
    parsed = read(whole[: len(whole) * 2 // 3], "image/jpeg", tessdata="/nonexistent")
    assert "breaks off" in parsed.meta["notice"]


def test_transparent_letters_are_read_on_white(engine: None) -> None:
    shown = Image.open(io.BytesIO(sheet()))
    clear = Image.merge("LA", (Image.new("L", shown.size, 0), shown.point(lambda value: 255 - value)))
    assert words(read(saved(clear, "PNG"), "image/png").text) == PRINTED


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_has_nearly_the_same_fingerprint(seed: int) -> None:
    original = scenery(seed)
    own = fingerprint(original)
    for copy in (
        original.resize((133, 100)),
        Image.open(io.BytesIO(saved(original, "JPEG", quality=30))),
        ImageEnhance.Brightness(original).enhance(1.1),
        original.convert("L"),
    ):
        assert distance(own, fingerprint(copy)) <= 10


def test_unlike_pictures_have_unlike_fingerprints() -> None:
    prints = [fingerprint(scenery(seed)) for seed in range(12)]
    assert min(distance(a, b) for i, a in enumerate(prints) for b in prints[:i]) > 10
    assert all(len(one) == 16 for one in prints)


def test_a_blank_picture_has_none() -> None:
    assert fingerprint(Image.new("RGB", (100, 100), "white")) == ""


@pytest.mark.parametrize(
    ("name", "media_type", "phrase"),
    [
        ("testOCR.jpg", "image/jpeg", "OCR Testing"),
        ("testOCR_spacing.png", "image/png", "The quick brown fox"),
        ("typewriter.png", "image/png", "3 liter water"),
        ("baiona_color.jpg", "image/jpeg", "BAIONA"),
        ("hello_world_tiff.tif", "image/tiff", "HELLO WORLD"),
    ],
)
def test_real_pictures_say_what_is_written_in_them(
    engine: None, documents: Path, name: str, media_type: str, phrase: str
) -> None:
    assert phrase in " ".join(read(documents / "images" / name, media_type).text.split())


def test_one_photograph_in_two_formats_is_known_again(documents: Path) -> None:
    jpeg = read(documents / "images" / "testJPEG_GEO.jpg", "image/jpeg", tessdata="/nonexistent").meta
    heic = read(documents / "images" / "testHEIF.heic", "image/heic", tessdata="/nonexistent").meta
    assert distance(jpeg["phash"], heic["phash"]) <= 4
    assert jpeg["place"] == heic["place"]
    assert jpeg["taken_at"] == heic["taken_at"] == "2009-08-11T09:09:45"
