"""The child process that reads untrusted files: limits on, one file after the other, until stdin ends.

`python -m handlers.parsing MEMORY_BYTES TIME_S`
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

# PyMuPDF loads a page layout model into every process, 75 MB and a second; it is not used here.
sys.modules["pymupdf.layout"] = None  # type: ignore[assignment]

from handlers.parsing import mail, pdf, plain, wire  # noqa: E402
from handlers.parsing.parsed import Parsed, PasswordNeeded, Unreadable  # noqa: E402

OPEN_FILES = 64

_FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "urllib.")


def main() -> None:
    """Serve requests until there are no more."""
    memory_bytes, time_s = int(sys.argv[1]), float(sys.argv[2])
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not get between the frames.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(memory_bytes)
    sys.addaudithook(_refuse)
    _send(answers, wire.HELLO, b"")
    while header := requests.read(wire.HEADER.size):
        _, length = wire.HEADER.unpack(header)
        request = json.loads(requests.read(length))
        _limit_time(time_s)
        _answer(request, answers)


def _answer(request: dict[str, str], answers: BinaryIO) -> None:
    def progress(done: int, total: int) -> None:
        _send(answers, wire.PROGRESS, json.dumps([done, total]).encode())

    try:
        parsed = _read(request["path"], request["media_type"], request["password"], progress)
        fields = asdict(parsed) | {"attachments": [a.filename for a in parsed.attachments]}
        result = json.dumps(fields, ensure_ascii=False).encode()
    except Unreadable as error:
        _fail(answers, "unreadable", str(error))
    except PasswordNeeded as error:
        _fail(answers, "password", str(error))
    except MemoryError:
        _fail(answers, "memory", "")
    except RecursionError:
        _fail(answers, "unreadable", "the file is nested too deeply to be read")
    except Exception as error:  # noqa: BLE001 - a reader may fail in any way; the file is at fault, not the loop
        _fail(answers, "unreadable", f"the file is damaged ({type(error).__name__}: {str(error)[:200]})")
    else:
        _send(answers, wire.RESULT, result)
        for attachment in parsed.attachments:
            _send(answers, wire.ATTACHMENT, attachment.content)


def _read(path: str, media_type: str, password: str, progress: pdf.Progress) -> Parsed:
    if media_type == "application/pdf":
        return pdf.read(path, password, progress)
    content = Path(path).read_bytes()
    return mail.read(content) if media_type == "message/rfc822" else plain.read(content, media_type)


def _fail(answers: BinaryIO, kind: str, reason: str) -> None:
    _send(answers, wire.ERROR, json.dumps({"kind": kind, "reason": reason}).encode())


def _send(answers: BinaryIO, kind: bytes, content: bytes) -> None:
    answers.write(wire.HEADER.pack(kind, len(content)))
    answers.write(content)
    answers.flush()


def _limit(memory_bytes: int) -> None:
    """Memory on top of what the readers themselves take; no files written, no processes, no core dumps."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    for kind, limit in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def _limit_time(time_s: float) -> None:
    """So much processor time from now on; the kernel ends the process at the next whole second."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + time_s)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _refuse(event: str, _: object) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"a reader of files may not do this: {event}")


if __name__ == "__main__":
    main()
