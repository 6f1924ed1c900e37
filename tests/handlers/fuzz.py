"""Files with random damage through the real sandbox: `python -m tests.handlers.fuzz --seconds 60 --seed 1`.

Whatever comes of a file, the parent must get one of the two exceptions that it knows, keep its memory,
and be left without processes and temporary files.
"""

from __future__ import annotations

import argparse
import asyncio
import bz2
import gzip
import io
import lzma
import os
import random
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from handlers.kinds import look
from handlers.parsing.parsed import PasswordNeeded, Source, Unreadable
from handlers.parsing.readers import READERS
from handlers.reading import Room
from handlers.sandbox import Sandbox
from tests.handlers import files
from tests.handlers.pst_file import pst

REAL = 30
LARGEST = 100_000
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@dataclass
class Found:
    """What a run has seen.

    Attributes:
        ends: How often files ended how: read, unreadable, locked, unsupported.
        strange: What must not be: anything else that was raised, with the file's name and its seed.
        grown_bytes: By how much the parent has grown since it was warm.
    """

    ends: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    children: set[int] = field(default_factory=set)
    grown_bytes: int = 0
    left_behind: int = 0

    @property
    def files(self) -> int:
        return self.ends.total()


class Nowhere:
    """A sink that keeps nothing."""

    async def begin(self, filename: str) -> None: ...
    async def write(self, block: bytes) -> None: ...
    async def end(self) -> None: ...
    async def drop(self) -> None: ...
    async def refuse(self, filename: str) -> None: ...
    async def derive(self, name: str, media_type: str, content: bytes) -> None: ...


def seeds(documents: Path | None) -> dict[str, bytes]:
    """Small files of every kind: generated ones, and real ones where there are any."""
    with tempfile.TemporaryDirectory() as folder:
        generated = {
            "a.pdf": files.pdf(Path(folder, "a.pdf"), ["Some words."], ["More."]).read_bytes(),
            "locked.pdf": files.pdf(Path(folder, "b.pdf"), ["x"], password="p").read_bytes(),
        }
    archive = files.archive({"a.txt": b"words " * 50, "b/c.bin": bytes(range(256))})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
        info = tarfile.TarInfo("a.txt")
        info.size = 300
        tar.addfile(info, io.BytesIO(b"words " * 50))
    mail = files.mail(html="<p>rich <b>words</b></p>")
    mail.add_attachment(archive, maintype="application", subtype="zip", filename="a.zip")
    inner = files.msg(subject="In", body="Deep.", top=False)
    generated |= {
        "a.zip": archive,
        "a.tar": packed.getvalue(),
        "a.tar.gz": gzip.compress(packed.getvalue()),
        "a.txt.bz2": bz2.compress(b"words " * 50),
        "a.txt.xz": lzma.compress(b"words " * 50),
        "a.eml": mail.as_bytes(),
        "a.mbox": 2 * (b"From a@example.org Tue Jun  4 10:00:00 2019\n" + mail.as_bytes() + b"\n\n"),
        "a.msg": files.ole_of(files.msg(subject="S", body="B", attachments={"a": b"x" * 5000, "b": inner})),
        "a.pst": pst({"Inbox": [{0x001A: "IPM.Note", 0x37: "S", 0x1000: "Words."}], "Sent": []}),
        "winmail.dat": files.tnef(body="Words.", attachments={"a.txt": b"words"}),
        "a.svg": b"<svg><title>A</title><text>words</text></svg>",
        "a.html": b"<!doctype html><html><body><p>words<table><tr><td>1</table>",
        "a.txt": "Grüße, words and more.".encode("utf-16"),
        "a.csv": b"a,b,c\n" * 20,
    }
    if documents is not None:
        real = (p for p in sorted(documents.rglob("*")) if p.is_file() and p.stat().st_size <= LARGEST)
        by_kind: dict[str, list[Path]] = {}
        for path in real:
            if (kind := look(path, path.name).media_type) in READERS:
                by_kind.setdefault(kind, []).append(path)
        while len(generated) < 15 + REAL and any(by_kind.values()):
            for paths in by_kind.values():
                if paths and len(generated) < 15 + REAL:
                    path = paths.pop(0)
                    generated[f"{path.parent.name}-{path.name}"] = path.read_bytes()
    return generated


def damaged(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """The content with one to eight faults of the kinds that transfers, discs and attackers cause."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        if not found:
            break
        at = chance.randrange(len(found))
        length = min(len(found) - at, 1 << chance.randint(0, 10))
        match chance.randrange(7):
            case 0:
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at : at + length] = chance.randbytes(length)
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length] * chance.choice((1, 1, 2, 50))
            case 4:
                size = chance.choice((1, 2, 4, 8))
                number = chance.choice(NUMBERS) & ((1 << 8 * size) - 1)
                found[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))
            case 5:
                start = chance.randrange(max(1, len(other)))
                found[at : at + length] = other[start : start + length]
            case 6 if chance.random() < 0.3:
                del found[at:]
    return bytes(found)


async def fuzz(seconds: float, seed: int, documents: Path | None, *, least: int = 0) -> Found:
    """Damage files and read them for so long, and until so many are read."""
    kept, chance, found, parent = seeds(documents), random.Random(seed), Found(), psutil.Process()
    names, began, warm, before = sorted(kept), time.monotonic(), 0, len(parent.children())
    with tempfile.TemporaryDirectory(prefix="casewire-fuzz-") as folder:
        scratch = Path(folder, "scratch")
        sandbox = Sandbox(
            memory_bytes=128 << 20, time_s=5, output_bytes=32 << 20, scratch_bytes=32 << 20, folder=scratch
        )
        while time.monotonic() - began < seconds or found.files < least:
            number = chance.randrange(1 << 32)
            one = random.Random(number)
            name = one.choice(names)
            path = Path(folder, "file")
            path.write_bytes(damaged(kept[name], kept[one.choice(names)], one))
            try:
                await _read(sandbox, path, name, found)
            except Exception as error:  # noqa: BLE001 - to find what is raised is the purpose
                found.strange.append(f"{name} {number}: {type(error).__name__}: {error}")
            if sandbox._child is not None:
                found.children.add(sandbox._child.process.pid)
            if found.files == 50:
                warm = parent.memory_info().rss
        found.grown_bytes = parent.memory_info().rss - warm if warm else 0
        await sandbox.aclose()
        found.left_behind = len(list(scratch.iterdir())) + len(parent.children()) - before
    return found


async def _read(sandbox: Sandbox, path: Path, name: str, found: Found) -> None:
    async def ignore(*_: object) -> None:
        return

    kind = look(path, name)
    if kind.reason:
        found.ends["unsupported"] += 1
        return
    source = Source(path, kind.media_type, "guess", name)
    try:
        await sandbox.read(source, progress=ignore, check=ignore, sink=Nowhere(), room=Room(1000, 64 << 20))
    except Unreadable as error:
        found.ends["unreadable"] += 1
        found.sentences[f"{kind.media_type}: {error}"] += 1
    except PasswordNeeded:
        found.ends["locked"] += 1
    else:
        found.ends["read"] += 1


def main() -> None:
    """Run and tell; ends with 1 where something must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    documents = Path(os.environ.get("CASEWIRE_DOCUMENTS") or root.parent / "shared" / "documents")
    found = asyncio.run(fuzz(given.seconds, given.seed, documents if documents.is_dir() else None))
    print(f"{found.files} files, {dict(found.ends)}, {len(found.children)} children")
    print(f"the parent grew by {found.grown_bytes >> 10} KiB, {found.left_behind} things left behind")
    for sentence, number in found.sentences.most_common(40):
        print(f"{number:6} {sentence}")
    for line in found.strange:
        print(f"STRANGE {line}")
    sys.exit(bool(found.strange or found.left_behind))


if __name__ == "__main__":
    main()
