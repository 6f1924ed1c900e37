"""A reader that has been taken over: it calls the C library itself, past everything that Python forbids.

Each line of the file is one attempt; the text tells of each what came of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable

from handlers.parsing.parsed import Outlet, Parsed, Source

libc = ctypes.CDLL(None, use_errno=True)


def read(source: Source, outlet: Outlet) -> Parsed:
    said = []
    for line in source.path.read_text("utf-8").splitlines():
        command, _, argument = line.partition(" ")
        said.append(_ATTEMPTS[command](argument, outlet))
    return Parsed(text="\n".join(said))


def _outcome(answer: int) -> str:
    return "succeeded" if answer >= 0 else errno.errorcode[ctypes.get_errno()]


def _connect(argument: str, _: Outlet) -> str:
    kind = {"tcp": (2, 1), "udp": (2, 2), "unix": (1, 1), "raw": (17, 3)}[argument]
    return _outcome(libc.socket(*kind, 0))


def _open(argument: str, _: Outlet) -> str:
    return _outcome(libc.open(argument.encode(), os.O_RDONLY))


def _write(argument: str, _: Outlet) -> str:
    return _outcome(libc.open(argument.encode(), os.O_WRONLY | os.O_CREAT, 0o600))


def _through_link(argument: str, outlet: Outlet) -> str:
    link = os.fsencode(outlet.scratch / "link")
    libc.symlink(argument.encode(), link)
    return _outcome(libc.open(link, os.O_RDONLY))


def _hard_link(argument: str, outlet: Outlet) -> str:
    return _outcome(libc.link(argument.encode(), os.fsencode(outlet.scratch / "hard")))


def _start(_: str, __: Outlet) -> str:
    child = libc.fork()
    if child == 0:
        os._exit(0)
    return _outcome(child)


def _run(argument: str, _: Outlet) -> str:
    arguments = (ctypes.c_char_p * 2)(argument.encode(), None)
    return _outcome(libc.execv(argument.encode(), arguments))


def _kill(argument: str, _: Outlet) -> str:
    return _outcome(libc.kill(int(argument), signal.SIGTERM))


def _limit(argument: str, _: Outlet) -> str:
    return _outcome(libc.prlimit(int(argument), 7, (ctypes.c_uint64 * 2)(1, 1), None))


def _privilege(argument: str, _: Outlet) -> str:
    calls: dict[str, Callable[[], int]] = {
        "namespace": lambda: libc.unshare(0x10000000),
        "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "trace": lambda: libc.ptrace(0, 0, None, None),
        "mode": lambda: libc.chmod(b"/tmp", 0o777),
        "shared": lambda: libc.shmget(0, 4096, 0o1600),
        "rings": lambda: libc.syscall(425, 1, None),
        "x32": lambda: libc.syscall(0x40000000 + 41, 2, 1, 0),
    }
    return _outcome(calls[argument]())


def _thread(_: str, __: Outlet) -> str:
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append("ran"))
    thread.start()
    thread.join()
    return told[0]


def _scratch(_: str, outlet: Outlet) -> str:
    there = sorted(path.name for path in outlet.scratch.iterdir())
    (outlet.scratch / "note").write_text("kept", "utf-8")
    return f"{there} {(outlet.scratch / 'note').read_text('utf-8')}"


def _fill(argument: str, outlet: Outlet) -> str:
    number = 0
    while True:
        number += 1
        (outlet.scratch / f"{number}").write_bytes(bytes(int(argument)))


def _nest(argument: str, outlet: Outlet) -> str:
    os.chdir(outlet.scratch)
    for _ in range(int(argument)):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(outlet.scratch)
    return "nested"


def _grow(argument: str, outlet: Outlet) -> str:
    with (outlet.scratch / "large").open("wb") as file:
        file.truncate(int(argument))
    return "grown"


def _allocate(_: str, __: Outlet) -> str:
    held = []
    while True:
        held.append(bytearray(8 << 20))


def _allocate_beside(_: str, __: Outlet) -> str:
    """Memory that Python does not count, until none is given."""
    while libc.malloc(ctypes.c_size_t(8 << 20)):
        pass
    raise MemoryError


def _spin(_: str, __: Outlet) -> str:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def _many(_: str, __: Outlet) -> str:
    opened = 0
    while libc.open(b"/dev/null", os.O_RDONLY) >= 0:
        opened += 1
    code = errno.errorcode[ctypes.get_errno()]
    os.closerange(3 + 2, 4096)
    return f"{code} {opened < 100}"


def _print(_: str, __: Outlet) -> str:
    while True:
        print("words " * 1000)
        print("words " * 1000, file=sys.stderr)


def _answer(argument: str, _: Outlet) -> str:
    """Speak to the parent directly, in words that it does not know, or in far too many."""
    content = {"nonsense": b"\xff" * 4096, "huge": b"r" + b"\x7f" + b"\xff" * 7, "block": b"b" + bytes(8)}
    for descriptor in range(3, 10):
        libc.write(descriptor, content[argument], len(content[argument]))
    return "spoken"


def _progress(_: str, outlet: Outlet) -> str:
    while True:
        outlet.progress(1, 1)


def _crash(_: str, __: Outlet) -> str:
    libc.abort()
    return "survived"


_ATTEMPTS: dict[str, Callable[[str, Outlet], str]] = {
    "connect": _connect,
    "open": _open,
    "write": _write,
    "through-link": _through_link,
    "hard-link": _hard_link,
    "start": _start,
    "run": _run,
    "kill": _kill,
    "limit": _limit,
    "privilege": _privilege,
    "thread": _thread,
    "scratch": _scratch,
    "fill": _fill,
    "nest": _nest,
    "grow": _grow,
    "allocate": _allocate,
    "allocate-beside": _allocate_beside,
    "spin": _spin,
    "many": _many,
    "print": _print,
    "answer": _answer,
    "progress": _progress,
    "crash": _crash,
}
