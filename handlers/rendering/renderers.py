"""Which module draws which media type; it is imported in the child that reads untrusted files.

A renderer is a reader whose `tools` name a `page`, from 1, and a `width` in pixels; it sends one
picture to the outlet and returns no text.
"""

from __future__ import annotations

NAME = "picture"
MEDIA_TYPE = "image/webp"
"""Of every picture that is drawn."""

PDF = "handlers.rendering.pdf"
PICTURE = "handlers.rendering.picture"

RENDERERS: dict[str, str] = {
    "application/pdf": PDF,
    "image/avif": PICTURE,
    "image/bmp": PICTURE,
    "image/gif": PICTURE,
    "image/heic": PICTURE,
    "image/heif": PICTURE,
    "image/jpeg": PICTURE,
    "image/png": PICTURE,
    "image/tiff": PICTURE,
    "image/webp": PICTURE,
}
