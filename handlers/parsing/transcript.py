"""What is said in a recording, by faster-whisper with a model from a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from handlers.parsing.parsed import Outlet, clean

SAMPLES_PER_S = 16_000
"""What the models were trained on."""
WINDOW_S = 600
"""Seconds of sound that are held at once: 38 MB, whatever the recording's length."""


class NoModel(Exception):
    """There is no model that could be used; the text is a sentence that says what to do."""


def transcribe(
    container: InputContainer, folder: str, length_s: float, outlet: Outlet
) -> Iterator[tuple[float, str]]:
    """The sentences of the first sound stream, each with the second at which it begins.

    Args:
        container: The recording, at its beginning.
        folder: That of a faster-whisper model (`model.bin` and its tokenizer). Nothing is ever fetched.
        length_s: Of the recording, to tell the progress; 0 if unknown.
        outlet: Told the minutes that are done.

    Raises:
        NoModel: The folder holds no model, or faster-whisper is not installed.
    """
    model = _model(folder)
    minutes = max(1, round(length_s / 60))
    for start_s, sound in _windows(container):
        segments, _ = model.transcribe(sound, beam_size=5, condition_on_previous_text=False)
        for segment in segments:
            text = " ".join(clean(segment.text).split())
            if text:
                yield start_s + float(segment.start), text
            outlet.progress(min(minutes, int((start_s + float(segment.end)) / 60)), minutes, "minutes")


@cache
def _model(folder: str) -> Any:
    if not Path(folder, "model.bin").is_file():
        raise NoModel(f"transcript unavailable: CASEWIRE_WHISPER names {folder}, which holds no model.bin")
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise NoModel(
            "transcript unavailable: faster-whisper is not installed; it is Casewire's extra “transcribe”"
        ) from error
    try:
        return WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, local_files_only=True
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise NoModel(f"transcript unavailable: the model in {folder} cannot be loaded: {error}") from error


def _windows(container: InputContainer) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """The sound in one channel, in windows: the second at which each begins, and its samples."""
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLES_PER_S)
    held: list[NDArray[np.float32]] = []
    count = 0
    start_s = 0.0
    for frame in _frames(container, stream):
        for piece in resampler.resample(frame):
            samples = np.ascontiguousarray(piece.to_ndarray().reshape(-1), np.float32)
            held.append(samples)
            count += len(samples)
        if count >= WINDOW_S * SAMPLES_PER_S:
            yield start_s, np.concatenate(held)
            start_s += count / SAMPLES_PER_S
            held, count = [], 0
    if count:
        yield start_s, np.concatenate(held)


def _frames(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The frames of a stream, then None, which empties the resampler."""
    yield from container.decode(stream)
    yield None
