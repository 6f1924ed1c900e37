"""A picture on its way out of the child: as wide as asked for, as WebP."""

from __future__ import annotations

import io

from PIL import Image

from handlers.parsing.parsed import Outlet, Parsed, Source
from handlers.rendering.renderers import MEDIA_TYPE, NAME

MOST_PIXELS = 12_000_000
"""Of a picture that is sent; a page that is very long becomes narrower."""

_QUALITY = 82


def wanted(source: Source) -> tuple[int, int]:
    """The page, from 1, and the width in pixels."""
    return int(source.tools["page"]), int(source.tools["width"])


def fitting(width: float, height: float, wanted_px: int) -> float:
    """By how much to scale what is so large, to the wanted width or the most pixels."""
    scale = wanted_px / width
    pixels = width * scale * height * scale
    return scale if pixels <= MOST_PIXELS else scale * (MOST_PIXELS / pixels) ** 0.5


def send(picture: Image.Image, outlet: Outlet) -> Parsed:
    """Send the picture; what is transparent is white."""
    content = io.BytesIO()
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        picture = Image.new("RGB", layered.size, "white")
        picture.paste(layered, mask=layered.getchannel("A"))
    picture.convert("RGB").save(content, "WEBP", quality=_QUALITY, method=3)
    outlet.derive(NAME, MEDIA_TYPE, content.getvalue())
    return Parsed(text="")
