"""The child process that reads untrusted files: limits on, one file after the other, until stdin ends.

`python -m handlers.parsing CONFIGURATION`, which is `Configuration` as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

# PyMuPDF loads a page layout model into every process, 75 MB and a second; it is not used here.
sys.modules["pymupdf.layout"] = None  # type: ignore[assignment]

from handlers.parsing import wire  # noqa: E402
from handlers.parsing.guards import guard  # noqa: E402
from handlers.parsing.limits import lift_memory, limit_memory, limit_process, limit_time  # noqa: E402
from handlers.parsing.outlet import PipeOutlet, send  # noqa: E402
from handlers.parsing.parsed import PasswordNeeded, Source, Unreadable  # noqa: E402
from handlers.parsing.readers import reader  # noqa: E402

_FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "urllib.")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Configuration(TypedDict):
    """What a child is told once.

    `readable` are files and folders it may read besides those of Python and the system, `packages` those
    that hold readers.
    """

    scratch: str
    scratch_bytes: int
    memory_bytes: int
    time_s: float
    readable: list[str]
    packages: list[str]


def main() -> None:
    """Serve requests until there are no more."""
    given: Configuration = json.loads(sys.argv[1])
    scratch = Path(given["scratch"])
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not get between the frames.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for package in given["packages"]:
        import_module(package)
    limit_process(given["scratch_bytes"])
    guards = guard(readable=map(Path, given["readable"]), writable=[scratch])
    sys.addaudithook(_refusing(scratch))
    send(answers, wire.HELLO, json.dumps(guards).encode())
    while header := requests.read(wire.HEADER.size):
        _, length = wire.HEADER.unpack(header)
        request = json.loads(requests.read(length))
        getting_on = partial(limit_time, given["time_s"])
        getting_on()
        outlet = PipeOutlet(answers, scratch, tuple(request["room"]), getting_on=getting_on)
        _answer(request, outlet, answers, given["memory_bytes"])


def _answer(request: dict[str, Any], outlet: PipeOutlet, answers: BinaryIO, memory_bytes: int) -> None:
    source = Source(
        path=Path(request["path"]),
        media_type=request["media_type"],
        password=request["password"],
        filename=request["filename"],
        tools=request["tools"],
    )
    try:
        lift_memory()
        read = reader(request["reader"])
        # Only now: what a library takes is not the file's fault.
        limit_memory(memory_bytes)
        parsed = asdict(read(source, outlet))
        result = json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
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
        send(answers, wire.RESULT, result)


def _fail(answers: BinaryIO, kind: str, reason: str) -> None:
    send(answers, wire.ERROR, json.dumps({"kind": kind, "reason": reason}).encode())


def _refusing(scratch: Path) -> Callable[[str, tuple[Any, ...]], None]:
    inside = (f"{scratch}{os.sep}", os.devnull)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"a reader of files may not do this: {event}")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            path = arguments[0]
            if not isinstance(path, int) and not os.path.abspath(os.fsdecode(path)).startswith(inside):
                raise PermissionError("a reader of files may write only into its scratch folder")

    return refuse


if __name__ == "__main__":
    main()
