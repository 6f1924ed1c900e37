"""A case with one piece of evidence for each way in which the client shows one."""

from __future__ import annotations

import asyncio
import io
import math
import struct
import wave
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw

from handlers.parsing.mupdf import pymupdf
from storage.evidence import ChunkDraft, NewEvidence
from tests.server.live import Live, Person

SECRET = "account 4711 at the Harbour Bank"
TRANSCRIPT = (
    "Title: Call of 3 May\n\n[00:00:00] Good morning, this is the harbour office.\n"
    "[00:00:01] The north pier is closed until further notice.\n[00:00:02] Who signed the order?"
)


async def evidence_case(live: Live, ann: Person) -> dict[str, int]:
    """Make the case of `ann` and return the ids of its evidence by name, and of nothing else."""
    case = (await ann.case("The north pier"))["id"]
    ids: dict[str, int] = {}

    async def add(
        name: str, filename: str, media_type: str, content: bytes, *, text: str = "",
        pages: list[tuple[int, int]] | None = None, meta: dict[str, Any] | None = None,
        chunks: list[ChunkDraft] | None = None, parent: int = 0,
    ) -> None:  # fmt: skip
        sha256, size = await store(live, content)
        upload = f"upload-0-{name}"
        new = NewEvidence(
            case, sha256, upload, filename, filename, size, media_type, ann.id, parent_id=parent or None
        )
        row = await live.parts.evidence.register(new)
        await live.parts.evidence.store_text(
            row.id, title=filename, text=text, pages=pages or [], meta=meta or {}, chunks=chunks or []
        )
        ids[name] = row.id

    page = "Inspection of the north pier\n\nThe bearings of pier 4 are cracked. Paid from [black]."
    await add(
        "pdf", "inspection.pdf", "application/pdf", _pdf(), text=page, pages=[(0, 28), (30, len(page))],
        meta={
            "pages": 2, "author": "Ada Example", "producer": "A scanner",
            "created": "2024-05-03T09:12:00+00:00",
            "ocr": {"pages": [2], "confidence": {"2": 0.71}, "language": "eng"},
            "redactions": [{"page": 1, "box": [72, 150, 300, 166], "text": SECRET}],
            "annotations": [
                {"page": 1, "kind": "highlight", "author": "Bo", "text": "Ask her why.",
                 "at": "2024-05-04T10:00:00", "marked": "The bearings of pier 4"}
            ],
            "notice": "text is hidden on page 1 but can still be read in the file (1 place)",
        },
        chunks=[ChunkDraft(0, 1, 0, 28, page[:28], [[72, 60, 400, 90]])],
    )  # fmt: skip
    await add(
        "picture", "bearing.jpg", "image/jpeg", _photo(), text="PIER 4",
        meta={
            "width": 1200, "height": 800, "taken_at": "2024-05-03T08:47:10+02:00", "camera": "Example A1",
            "place": {"lat": 53.54321, "lon": 9.98765}, "ocr": {"pages": [1], "confidence": {"1": 0.93}},
        },
        pages=[(0, 6)], chunks=[ChunkDraft(0, 1, 0, 6, "PIER 4", [[90, 90, 420, 190]])],
    )  # fmt: skip
    stills = [await still(live, seconds) for seconds in range(3)]
    await add(
        "video", "harbour.webm", "video/webm", await asyncio.to_thread(_video), text=TRANSCRIPT,
        meta={"duration_s": 3.0, "width": 320, "height": 180, "transcript": "available", "derived": stills},
    )  # fmt: skip
    await add(
        "sound", "call.wav", "audio/wav", _sound(), text="",
        meta={
            "duration_s": 2.0, "transcript": "unavailable",
            "notice": "transcript unavailable: no speech model is configured",
        },
    )  # fmt: skip
    groups = ["Fees\nName | Date | Sum", "Fees\nName | Date | Sum\nBo Sample | 2024-05-07 | 1,250.00"]
    groups[0] += "".join(f"\nAda Example | 2024-05-{day:02} | {day * 100:,}.00" for day in range(1, 7))
    groups.append("Notes\nPaid in cash")
    text = "\n\n".join(groups)
    spans, at = [], 0
    for group in groups:
        spans.append((at, at + len(group)))
        at += len(group) + 2
    await add(
        "table", "fees.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK fees",
        text=text, pages=spans,
        meta={"sheets": ["Fees", "Notes"], "places": ["Fees!A1:C7", "Fees!A8:C8", "Notes!A1:A1"]},
    )  # fmt: skip
    await add("mail", "Files.eml", "message/rfc822", b"From: ada", text="See the attached files.")
    await add("letter", "letter.txt", "text/plain", b"Dear Bo", text="Dear Bo", parent=ids["mail"])
    await add("scan", "scan.png", "image/png", _png(), parent=ids["mail"], meta={"width": 80, "height": 60})
    return ids | {"case": case}  # type: ignore[dict-item]


async def store(live: Live, content: bytes) -> tuple[str, int]:
    writer = live.parts.blobs.open_writer()
    writer.write(content)
    return await asyncio.to_thread(writer.commit)


async def still(live: Live, seconds: int) -> dict[str, Any]:
    picture = Image.new("RGB", (320, 180), (40 + 70 * seconds, 90, 120))
    ImageDraw.Draw(picture).text((20, 70), f"second {seconds}", font_size=36)
    content = io.BytesIO()
    picture.save(content, "JPEG")
    sha256, size = await store(live, content.getvalue())
    name = f"still-00.00.{seconds:02}.000.jpg"
    return {"name": name, "media_type": "image/jpeg", "sha256": sha256, "bytes": size}


def _pdf() -> bytes:
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((72, 84), "Inspection of the north pier", fontsize=22)
        page.insert_textbox((72, 100, 520, 150), "The bearings of pier 4 are cracked. Paid from", fontsize=13)
        page.insert_text((74, 162), SECRET, fontsize=12)
        page.draw_rect((72, 150, 300, 166), fill=(0, 0, 0))
        scan = document.new_page()
        scan.insert_image((60, 60, 535, 780), stream=_png("Recognised", (500, 760)))
        return bytes(document.tobytes())


def _photo() -> bytes:
    picture = Image.linear_gradient("L").resize((1200, 800)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((500, 260, 900, 660), fill=(90, 110, 130))
    draw.text((100, 90), "PIER 4", font_size=90, fill="white")
    content = io.BytesIO()
    picture.save(content, "JPEG")
    return content.getvalue()


def _png(text: str = "", size: tuple[int, int] = (80, 60)) -> bytes:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).text((20, 20), text, font_size=40, fill="black")
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _video() -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(30):
            pixels = np.full((180, 320, 3), 8 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return content.getvalue()


def _sound() -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i / 4))) for i in range(16000)))
    return content.getvalue()
