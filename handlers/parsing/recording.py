"""A recording, sound or video: its facts, stills of what is seen, and what is said in it.

The text is the recording's own tags and, where a speech model is configured, the transcript: lines of the
form `[00:01:23] words`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import av
from av.container import InputContainer

from handlers.parsing import stills, transcript
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable, clean

UNAVAILABLE = "transcript unavailable: no speech model is configured (CASEWIRE_WHISPER)"

MOST_STREAMS = 32

_FORMATS = {
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/amr": "amr",
    "audio/basic": "au",
    "audio/flac": "flac",
    "audio/mp4": "mov",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "video/3gpp": "mov",
    "video/mp4": "mov",
    "video/mpeg": "mpeg",
    "video/quicktime": "mov",
    "video/x-flv": "flv",
    "video/x-matroska": "matroska",
    "video/x-ms-asf": "asf",
    "video/x-msvideo": "avi",
}
"""The one reader of FFmpeg that each media type is given to. Left to guess, it would also take playlists,
which name other files."""

_TAGS = ("title", "artist", "album", "comment", "description", "synopsis", "date", "genre", "publisher",
         "copyright", "lyrics")  # fmt: skip
_PLACE = re.compile(r"([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)")
_DAMAGE = (av.FFmpegError, OSError, ValueError, IndexError, UnicodeError, ArithmeticError)


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a recording.

    Tools: `whisper_model`, see `transcript.transcribe`.

    Raises:
        Unreadable: It is damaged so that nothing of it can be played.
    """
    av.logging.set_level(None)
    with _opened(source) as container:
        meta = _facts(container)
        length_s = meta.get("duration_s", 0.0)
        told = _tags(container.metadata)
        seen = _played(container, "video")
        heard = _played(container, "audio")
        if not seen and not heard:
            raise Unreadable("nothing in the recording can be played: it is empty, damaged or encrypted")
        said: list[str] = []
        if seen and not stills.send_stills(container, length_s, outlet):
            said.append("the video is damaged; its stills end before it does")
    lines = [f"{name.capitalize()}: {value}" for name, value in told.items()]
    if heard:
        words, sentence = _words(source, length_s, outlet)
        meta["transcript"] = "unavailable" if sentence else "available"
        said.extend([sentence] if sentence else [])
        lines.extend(([""] if lines and words else []) + words)
    if said:
        meta["notice"] = "; ".join(said)
    return Parsed(text="\n".join(lines), title=told.get("title", ""), meta=meta)


def clock(moment_s: float) -> str:
    """A time code.

    >>> clock(3723.4)
    '01:02:03'
    """
    seconds = int(max(moment_s, 0.0))
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@contextmanager
def _opened(source: Source) -> Iterator[InputContainer]:
    try:
        container = av.open(
            str(source.path),
            format=_FORMATS[source.media_type],
            # Nothing that a file names is opened, on this machine or another.
            options={"protocol_whitelist": "file"},
        )
    except _DAMAGE as error:
        raise Unreadable("the recording is damaged and cannot be opened") from error
    with container:
        for stream in container.streams:
            if stream.codec_context is not None:
                # Workers read several files at a time; each has its own core.
                stream.codec_context.thread_count = 1
        yield container


def _words(source: Source, length_s: float, outlet: Outlet) -> tuple[list[str], str]:
    """What is said, line by line; or why that is not known, as a sentence."""
    folder = source.tools.get("whisper_model", "")
    if not folder:
        return [], UNAVAILABLE
    try:
        with _opened(source) as container:
            lines = [
                f"[{clock(start_s)}] {text}"
                for start_s, text in transcript.transcribe(container, folder, length_s, outlet)
            ]
    except transcript.NoModel as error:
        return [], str(error)
    except _DAMAGE:
        return [], "transcript unavailable: the sound is damaged"
    return lines, ""


def _played(container: InputContainer, kind: str) -> bool:
    """Whether a first moment of the stream can be decoded; the container is at its beginning again."""
    streams = [s for s in container.streams if s.type == kind and not stills.is_cover(s)]
    for stream in streams[:1]:
        try:
            frame = next(iter(container.decode(stream)), None)
            container.seek(0)
        except _DAMAGE:
            return False
        return frame is not None
    return False


def _facts(container: InputContainer) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "format": container.format.long_name,
        "streams": [_stream(stream) for stream in list(container.streams)[:MOST_STREAMS]],
    }
    if container.duration:
        meta["duration_s"] = round(container.duration / 1_000_000, 3)
    tags = {key.lower(): clean(value).strip() for key, value in container.metadata.items()}
    # Programs that do not know the time write the beginning of their era.
    if made := _time(tags.get("creation_time", "")):
        meta["created"] = meta["taken_at"] = made
    for key in ("location", "com.apple.quicktime.location.iso6709"):
        if found := _PLACE.match(tags.get(key, "")):
            meta["place"] = {"lat": float(found[1]), "lon": float(found[2])}
    maker = tags.get("com.apple.quicktime.make") or tags.get("make") or ""
    model = tags.get("com.apple.quicktime.model") or tags.get("model") or ""
    if camera := f"{maker} {model}".strip():
        meta["camera"] = camera[:200]
    for name, key in (("author", "artist"), ("producer", "encoder")):
        if value := tags.get(key):
            meta[name] = value[:500]
    shown = next((s for s in meta["streams"] if s["kind"] == "video" and "width" in s), None)
    if shown:
        meta["width"], meta["height"] = shown["width"], shown["height"]
    return meta


def _stream(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    facts: dict[str, Any] = {"kind": "cover" if stills.is_cover(stream) else stream.type}
    if context is not None:
        facts["codec"] = context.name
    if (language := stream.metadata.get("language", "und")) != "und":
        facts["language"] = clean(language)[:20]
    if stream.duration and stream.time_base:
        facts["duration_s"] = round(float(stream.duration * stream.time_base), 3)
    if stream.type == "video" and context is not None:
        facts |= {"width": context.width, "height": context.height}
        if stream.average_rate:
            facts["frames_per_s"] = round(float(stream.average_rate), 3)
    if stream.type == "audio" and context is not None:
        facts |= {"channels": context.channels, "samples_per_s": context.sample_rate}
    return facts


def _tags(metadata: Mapping[str, str]) -> dict[str, str]:
    tags = {key.lower(): clean(value).strip() for key, value in metadata.items()}
    return {name: tags[name][:5000] for name in _TAGS if tags.get(name)}


def _time(said: str) -> str:
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return ""
    return moment.replace(microsecond=0).isoformat() if moment.year > 1971 else ""
