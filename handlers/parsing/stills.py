"""A few pictures that show what happens in a video."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray
from PIL import Image

from handlers.parsing.parsed import Outlet

MOST = 12
WIDTH = 640
LOOKS = 48
"""Moments that are looked at, evenly spaced; the pictures are the changes among them."""
CHANGE = 10.0
"""Mean difference of grey values from which a picture shows something new."""
SHORT_S = 120.0
"""Length up to which the moment itself is decoded; in a longer video the key picture before it will do."""
FORWARD = 300
"""Pictures that are decoded to reach a moment; ten seconds of most videos."""
TIME_S = 40.0
"""Seconds after which the pictures found so far are enough."""

_ATTACHED_PICTURE = 0x400
_QUALITY = 80
_SMALL = (32, 18)


class Still(NamedTuple):
    """A picture, its moment, and by how much it differs from the one before."""

    moment_s: float
    picture: Image.Image
    change: float


def send_stills(container: InputContainer, length_s: float, outlet: Outlet) -> bool:
    """Send at most `MOST` pictures of the first video stream, in order of time.

    They are called `still-00.01.23.400.jpg` by their moment, and are JPEGs at most `WIDTH` pixels wide.

    Returns:
        Whether the video could be followed to its end; if not, what came before that is sent.
    """
    found: list[Still] = []
    whole = True
    try:
        for still in _changes(container, length_s):
            found.append(still)
            if len(found) > MOST:
                # The first tells how it begins; of the others the one that is least new goes.
                found.remove(min(found[1:], key=lambda one: one.change))
    except (av.FFmpegError, ValueError, ArithmeticError):
        whole = False
    for still in found:
        seconds, thousandths = divmod(int(1000 * still.moment_s), 1000)
        name = f"still-{seconds // 3600:02}.{seconds // 60 % 60:02}.{seconds % 60:02}.{thousandths:03}"
        content = io.BytesIO()
        still.picture.save(content, "JPEG", quality=_QUALITY)
        outlet.derive(f"{name}.jpg", "image/jpeg", content.getvalue())
    return whole


def is_cover(stream: Any) -> bool:
    """Whether a stream is a picture of the recording's sleeve, which players show and nobody filmed."""
    return stream.type == "video" and bool(int(stream.disposition) & _ATTACHED_PICTURE)


def _changes(container: InputContainer, length_s: float) -> Iterator[Still]:
    began = time.monotonic()
    before: NDArray[np.float32] | None = None
    last_s = -1.0
    for moment_s in _moments(length_s):
        frame = _frame(container, moment_s, exact=length_s <= SHORT_S)
        if frame is None:
            break
        at_s = float(frame.time or 0.0)
        if at_s <= last_s:
            continue
        last_s = at_s
        small = np.asarray(
            frame.to_image(width=_SMALL[0], height=_SMALL[1], threads=1).convert("L"), np.float32
        )
        change = float(np.abs(small - before).mean()) if before is not None else CHANGE
        if change >= CHANGE:
            before = small
            yield Still(at_s, _picture(frame), change)
        if time.monotonic() - began > TIME_S:
            return


def _moments(length_s: float) -> list[float]:
    """Evenly spaced, the beginning among them, at most four a second."""
    count = max(1, min(LOOKS, int(4 * length_s)))
    return [length_s * i / count for i in range(count)]


def _frame(container: InputContainer, moment_s: float, *, exact: bool) -> Any:
    """The picture at a moment, or the key picture before it; None where there is none."""
    stream = next(s for s in container.streams.video if not is_cover(s))
    container.seek(int(1_000_000 * moment_s))
    frame = None
    for count, frame in enumerate(_decoded(container, stream)):
        if not exact or count >= FORWARD or (frame.time or 0.0) >= moment_s:
            break
    return frame


def _decoded(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The pictures from here on, less those that are damaged."""
    for packet in container.demux(stream):
        with suppress(av.error.InvalidDataError):
            yield from packet.decode()


def _picture(frame: Any) -> Image.Image:
    scale = min(1.0, WIDTH / max(frame.width, 1))
    size = max(2, round(scale * frame.width)), max(2, round(scale * frame.height))
    picture: Image.Image = frame.to_image(width=size[0], height=size[1], threads=1)
    # Phones film as they are held and write down how to turn it.
    if turn := int(getattr(frame, "rotation", 0)) % 360:
        picture = picture.rotate(turn, expand=True)
        if picture.width > WIDTH:
            picture.thumbnail((WIDTH, WIDTH * 4))
    return picture.convert("RGB")
