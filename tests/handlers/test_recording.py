"""Recordings tell what they are, show what is seen, and say plainly where no transcript can be made."""

import io
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from PIL import Image

from handlers.parsing import recording, transcript
from handlers.parsing.parsed import Parsed, Unreadable
from tests.handlers.outlet import Kept, read_with

COLORS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


def read(content: bytes | Path, media_type: str, **tools: str) -> tuple[Parsed, Kept]:
    return read_with(recording.read, content, media_type, **tools)


def video(path: Path, *, scenes: int = 3, scene_s: int = 2, size: tuple[int, int] = (1280, 720)) -> Path:
    """Scenes of one colour each, ten pictures a second."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["title"] = "The crates"
        container.metadata["creation_time"] = "2021-06-04T10:20:30Z"
        container.metadata["location"] = "+48.5000-002.2600/"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for scene in range(scenes):
            shown = np.full((size[1], size[0], 3), COLORS[scene % 3], np.uint8)
            shown[: 30 * (1 + scene % 3)] = 255
            for _ in range(10 * scene_s):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode())
    return path


def sound(path: Path, seconds: float = 2.0) -> Path:
    with av.open(str(path), "w", format="wav") as container:
        container.metadata["artist"] = "Ann Orr"
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        tone = (8000 * np.sin(np.arange(int(16_000 * seconds)) / 20)).astype(np.int16)[None, :]
        for at in range(0, tone.shape[1], 16_000):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(tone[:, at : at + 16_000]), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 16_000, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_tells_its_facts_and_shows_its_scenes(tmp_path: Path) -> None:
    parsed, kept = read(video(tmp_path / "a.mp4"), "video/mp4")
    assert parsed.title == "The crates"
    assert parsed.meta["duration_s"] == pytest.approx(6, abs=0.2)
    assert parsed.meta["taken_at"] == "2021-06-04T10:20:30+00:00"
    assert parsed.meta["place"] == {"lat": 48.5, "lon": -2.26}
    (stream,) = parsed.meta["streams"]
    assert (stream["kind"], stream["codec"], stream["width"], stream["frames_per_s"]) == (
        "video",
        "mpeg4",
        1280,
        10,
    )
    assert "transcript" not in parsed.meta
    pictures = [Image.open(io.BytesIO(content)) for _, _, content in kept.derived]
    assert [name[:16] for name, _, _ in kept.derived] == [
        "still-00.00.00.0",
        "still-00.00.02.0",
        "still-00.00.04.0",
    ]
    for shown, color in zip(pictures, COLORS, strict=True):
        assert shown.size == (640, 360)
        middle = shown.getpixel((320, 300))
        assert max(abs(a - b) for a, b in zip(middle, color, strict=True)) < 40


def test_a_long_video_shows_no_more_than_twelve_stills(tmp_path: Path) -> None:
    _, kept = read(video(tmp_path / "a.mp4", scenes=30, scene_s=1, size=(160, 120)), "video/mp4")
    assert len(kept.derived) == 12
    names = [name for name, _, _ in kept.derived]
    assert names == sorted(names)


def test_sound_without_a_model_says_so_plainly(tmp_path: Path) -> None:
    parsed, kept = read(sound(tmp_path / "a.wav"), "audio/wav")
    assert parsed.meta["transcript"] == "unavailable"
    assert parsed.meta["notice"] == "transcript unavailable: no speech model is configured (CASEWIRE_WHISPER)"
    assert parsed.meta["duration_s"] == pytest.approx(2, abs=0.1)
    assert parsed.meta["streams"][0]["samples_per_s"] == 16_000
    assert "Artist: Ann Orr" in parsed.text
    assert kept.derived == []


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    parsed, _ = read(sound(tmp_path / "a.wav"), "audio/wav", whisper_model=str(tmp_path))
    assert parsed.meta["transcript"] == "unavailable"
    assert f"{tmp_path}, which holds no model.bin" in parsed.meta["notice"]


class Said(NamedTuple):
    start: float
    end: float
    text: str


class Hearing:
    """Takes the place of faster-whisper's model, whose weights are not at hand: tells what it was given."""

    def __init__(self, folder: str, **options: Any) -> None:
        assert options["local_files_only"] is True
        self.folder = folder

    def transcribe(self, samples: np.ndarray, **_: Any) -> tuple[list[Said], None]:
        assert samples.dtype == np.float32
        assert np.abs(samples).max() <= 1
        seconds = len(samples) / transcript.SAMPLES_PER_S
        return [Said(0.5, 1.0, f"  {seconds:.1f} seconds "), Said(1.0, 1.2, " ")], None


def test_a_transcript_has_time_codes_across_its_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("faster_whisper")
    module.WhisperModel = Hearing  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    monkeypatch.setattr(transcript, "WINDOW_S", 2)
    (tmp_path / "model.bin").write_bytes(b"")
    parsed, _ = read(sound(tmp_path / "a.wav", 5.0), "audio/wav", whisper_model=str(tmp_path))
    assert parsed.meta["transcript"] == "available"
    said = [line for line in parsed.text.splitlines() if line.startswith("[")]
    starts = [line[:10] for line in said]
    assert starts == sorted(set(starts))
    assert len(said) >= 2
    assert said[0].startswith("[00:00:00] ")
    assert sum(float(line.split()[1]) for line in said) == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize(
    "media_type", ["video/mp4", "audio/mpeg", "video/x-matroska", "audio/wav", "audio/ogg"]
)
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5000, b"RIFF\x24\x00\x00\x00WAVEfmt ", b"#EXTM3U\nfile:///etc/passwd\n"]
)
def test_what_cannot_be_played_ends_clearly(content: bytes, media_type: str) -> None:
    with pytest.raises(Unreadable, match="recording"):
        read(content, media_type)


def test_a_video_that_breaks_off_is_shown_in_part(tmp_path: Path) -> None:
    whole = video(tmp_path / "a.mp4", size=(320, 240)).read_bytes()
    with pytest.raises(Unreadable, match="damaged"):
        read(whole[: len(whole) // 2], "video/mp4")  # the table of its pictures stood at the end
    damaged = bytearray(whole)
    damaged[len(whole) // 3 : len(whole) // 2] = bytes(len(whole) // 2 - len(whole) // 3)
    parsed, kept = read(bytes(damaged), "video/mp4")
    assert parsed.meta["width"] == 320
    assert kept.derived


@pytest.mark.parametrize(
    ("moment", "said"), [(0, "00:00:00"), (-1, "00:00:00"), (3723.9, "01:02:03"), (360000, "100:00:00")]
)
def test_a_time_code_is_hours_minutes_seconds(moment: float, said: str) -> None:
    assert recording.clock(moment) == said


TYPES = {
    "mp3": "audio/mpeg",
    "wma": "video/x-ms-asf",
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "webm": "video/x-matroska",
}


def test_every_real_recording_is_read(documents: Path) -> None:
    for path in sorted((documents / "audio_video").iterdir()):
        parsed, kept = read(path, TYPES[path.suffix[1:]])
        assert parsed.meta["duration_s"] > 0.5, path.name
        assert parsed.meta["transcript"] == "unavailable", path.name
        filmed = path.suffix in (".mp4", ".webm")
        assert (1 <= len(kept.derived) <= 12) == filmed, path.name


def test_a_sleeve_is_no_video(documents: Path) -> None:
    parsed, kept = read(documents / "audio_video" / "1_with_metadata.mp3", "audio/mpeg")
    assert [stream["kind"] for stream in parsed.meta["streams"]] == ["audio", "cover", "cover"]
    assert kept.derived == []
