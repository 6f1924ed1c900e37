"""Pictures of pages: drawn once, in the sandbox, as large as asked for; what cannot be drawn says why."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pillow_heif
import pytest
import pytest_asyncio
from PIL import Image

from handlers.page_pictures import NoPicture, PagePictures
from handlers.parsing.mupdf import pymupdf
from handlers.rendering.drawn import MOST_PIXELS, fitting
from handlers.rendering.renderers import RENDERERS
from handlers.sandbox import Sandbox
from storage.blobs_disk import DiskBlobs
from storage.file_cache import FileCache
from tests.patience import PATIENCE_S

PDF = "application/pdf"

pillow_heif.register_heif_opener()


class CountingSandbox(Sandbox):
    drawn = 0

    async def read(self, *arguments, **options):  # type: ignore[no-untyped-def]
        self.drawn += 1
        return await super().read(*arguments, **options)


@dataclass
class Place:
    pictures: PagePictures
    blobs: DiskBlobs
    sandbox: CountingSandbox

    def store(self, content: bytes) -> str:
        writer = self.blobs.open_writer()
        writer.write(content)
        return writer.commit()[0]

    async def draw(self, content: bytes, media_type: str, *, page: int = 1, width: int = 320) -> Image.Image:
        path = await self.pictures.path(self.store(content), media_type, page=page, width=width)
        with Image.open(path) as picture:
            assert picture.format == "WEBP"
            return picture.convert("RGB")


@pytest_asyncio.fixture(loop_scope="session")
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    blobs = DiskBlobs(tmp_path / "blobs")
    sandbox = CountingSandbox(memory_bytes=512 << 20, time_s=PATIENCE_S, readers=RENDERERS)
    pictures = PagePictures(blobs, FileCache(tmp_path / "cache", 10 << 20), sandbox)
    yield Place(pictures, blobs, sandbox)
    await pictures.aclose()


def pdf(*colours: tuple[float, float, float], rotation: int = 0) -> bytes:
    """A page of 300 × 200 points in each colour."""
    with pymupdf.open() as document:
        for colour in colours:
            page = document.new_page(width=300, height=200)
            page.draw_rect(page.rect, fill=colour, color=colour)
            page.set_rotation(rotation)
        return bytes(document.tobytes())


def picture(form: str, size: tuple[int, int] = (400, 300), mode: str = "RGB", **options: object) -> bytes:
    content = io.BytesIO()
    Image.new(mode, size, "red").save(content, form, **options)  # type: ignore[arg-type]
    return content.getvalue()


async def test_a_page_is_drawn_as_wide_as_asked_for(place: Place) -> None:
    content = pdf((1, 0, 0), (0, 0, 1))
    first, second = [await place.draw(content, PDF, page=page, width=640) for page in (1, 2)]
    assert first.size == (640, 427)
    assert [round(c / 255) for c in first.getpixel((300, 200))] == [1, 0, 0]  # type: ignore[union-attr]
    assert [round(c / 255) for c in second.getpixel((300, 200))] == [0, 0, 1]  # type: ignore[union-attr]
    assert (await place.draw(pdf((1, 0, 0), rotation=90), PDF, width=160)).size == (160, 240)


@pytest.mark.parametrize(
    ("media_type", "form", "mode"),
    [
        ("image/png", "PNG", "RGBA"),
        ("image/jpeg", "JPEG", "RGB"),
        ("image/jpeg", "JPEG", "CMYK"),
        ("image/gif", "GIF", "P"),
        ("image/tiff", "TIFF", "I;16"),
        ("image/bmp", "BMP", "1"),
        ("image/webp", "WEBP", "RGB"),
        ("image/heic", "HEIF", "RGB"),
        ("image/avif", "AVIF", "RGB"),
    ],
)
async def test_every_kind_of_picture_is_made_smaller(
    place: Place, media_type: str, form: str, mode: str
) -> None:
    content = io.BytesIO()
    Image.new(mode, (400, 300)).save(content, form)
    assert (await place.draw(content.getvalue(), media_type)).size == (320, 240)


async def test_a_small_picture_is_not_blown_up(place: Place) -> None:
    assert (await place.draw(picture("PNG", (40, 30)), "image/png")).size == (40, 30)


async def test_a_picture_is_turned_as_its_camera_was_held(place: Place) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (await place.draw(picture("JPEG", exif=exif), "image/jpeg", width=150)).size == (150, 200)


async def test_the_pages_of_a_picture_are_drawn_singly(place: Place) -> None:
    blue = Image.new("RGB", (400, 300), "blue")
    content = picture("TIFF", save_all=True, append_images=[blue])
    pixel = (await place.draw(content, "image/tiff", page=2)).getpixel((9, 9))
    assert pixel[2] > 200 > pixel[0]  # type: ignore[index,operator]
    with pytest.raises(NoPicture, match="no page 3"):
        await place.draw(content, "image/tiff", page=3)


async def test_a_drawing_is_made_once_for_all_who_ask(place: Place) -> None:
    sha256 = place.store(pdf((1, 0, 0)))
    paths = await asyncio.gather(*(place.pictures.path(sha256, PDF, page=1, width=160) for _ in range(8)))
    assert len(set(paths)) == place.sandbox.drawn == 1
    await place.pictures.path(sha256, PDF, page=1, width=160)
    assert place.sandbox.drawn == 1
    await place.pictures.path(sha256, PDF, page=1, width=320)
    assert place.sandbox.drawn == 2


async def test_one_who_leaves_does_not_take_the_drawing_from_others(place: Place) -> None:
    sha256 = place.store(pdf((1, 0, 0)))
    leaving = asyncio.create_task(place.pictures.path(sha256, PDF, page=1, width=160))
    staying = asyncio.create_task(place.pictures.path(sha256, PDF, page=1, width=160))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).exists()


BAD = {
    "not a PDF": (b"%PDF-1.7 nothing", PDF, "cannot be opened|cannot be drawn|no page"),
    "a cut picture": (picture("PNG")[:60], "image/png", "damaged"),
    "no picture": (b"no picture", "image/jpeg", "damaged"),
    "page beyond": (pdf((1, 0, 0)), PDF, "no page 9"),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_cannot_be_drawn_says_why_and_is_not_tried_again(place: Place, what: str) -> None:
    content, media_type, said = BAD[what]
    page = 9 if what == "page beyond" else 1
    for _ in range(3):
        with pytest.raises(NoPicture, match=said):
            await place.draw(content, media_type, page=page)
    assert place.sandbox.drawn == 1


async def test_an_encrypted_pdf_has_no_pictures(place: Place) -> None:
    with pymupdf.open() as document:
        document.new_page()
        content = document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="owner")
    with pytest.raises(NoPicture, match="encrypted"):
        await place.draw(content, PDF)


async def test_a_picture_that_claims_to_be_vast_is_not_unpacked(place: Place) -> None:
    content = bytearray(picture("BMP", (8, 8)))
    content[18:26] = (60_000).to_bytes(4, "little") * 2
    with pytest.raises(NoPicture, match="more than 250,000,000 pixels"):
        await place.draw(bytes(content), "image/bmp")


async def test_a_kind_without_pictures_is_told_without_a_look(place: Place) -> None:
    for media_type in ("image/svg+xml", "text/html", "application/zip"):
        with pytest.raises(NoPicture, match="of this kind"):
            await place.draw(b"<svg/>", media_type)
    assert place.sandbox.drawn == 0


def test_a_page_that_is_very_long_becomes_narrower() -> None:
    assert fitting(100, 200, 200) == 2
    scale = fitting(100, 1_000_000, 200)
    assert abs(100 * scale * 1_000_000 * scale - MOST_PIXELS) < 1
