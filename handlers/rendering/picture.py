"""A picture made smaller by Pillow, turned as its camera was held; a page of one that has several."""

from __future__ import annotations

import pillow_heif
from PIL import Image, ImageOps

from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.rendering.drawn import fitting, send, wanted

MOST_READ_PIXELS = 250_000_000
"""A picture that claims more is not unpacked."""

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = MOST_READ_PIXELS // 2  # Pillow refuses from twice as many on


def read(source: Source, outlet: Outlet) -> Parsed:
    """Draw the picture.

    Raises:
        Unreadable: It is damaged, too large, or has no such page.
    """
    number, width = wanted(source)
    try:
        with Image.open(source.path) as picture:
            if number > 1:
                picture.seek(number - 1)
            if picture.width * picture.height > MOST_READ_PIXELS:
                raise Unreadable(f"the picture has more than {MOST_READ_PIXELS:,} pixels")
            picture.draft("RGB", (width, width))
            upright = ImageOps.exif_transpose(picture)
            scale = min(1.0, fitting(upright.width, upright.height, width))
            size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
            if upright.mode not in ("RGB", "RGBA", "L", "LA"):
                upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
            return send(upright.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), outlet)
    except EOFError as error:
        raise Unreadable(f"the picture has no page {number}") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"the picture has more than {MOST_READ_PIXELS:,} pixels") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise Unreadable("the picture is damaged and cannot be drawn") from error
