"""A fingerprint of how a picture looks: 64 bits that stay nearly the same when it is scaled or re-encoded."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
"""Pixels a side that are looked at."""
KEPT = 8
"""Frequencies a side that are kept."""
FLAT = 2.0
"""Standard deviation of grey values below which a picture shows nothing to tell it by."""


def fingerprint(picture: Image.Image) -> str:
    """The perceptual hash of a picture: 16 hexadecimal digits; "" for one that is all the same grey.

    Each bit tells whether one of the lowest 8 × 8 frequencies of the picture's cosine transform is above
    their median. Unlike pictures differ in about 32 bits, copies of one in fewer than 10.
    """
    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(small, np.float64)
    if float(grey.std()) < FLAT:
        return ""
    waves = _waves()
    low = waves @ grey @ waves.T
    # The first frequency is the brightness alone, and larger than all others.
    bits = (low > np.median(low.ravel()[1:])).ravel()
    return np.packbits(bits).tobytes().hex()


@cache
def _waves() -> NDArray[np.float64]:
    """The lowest rows of the cosine transform (DCT-II), of shape (KEPT, SIDE)."""
    frequency, place = np.arange(KEPT)[:, None], np.arange(SIDE)[None, :]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))
