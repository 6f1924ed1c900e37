"""How long an event takes to reach another socket, beside what its parts take bare."""

from __future__ import annotations

import itertools
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import orjson
from hiredis import pack_command

from tests.bench.push_crowd import connect, opening, read_frame, text_frame

ROUNDS = 50
"""Of each way in one turn; the ways take turns."""
TURNS = 6
PAUSE_S = 0.004
LOADERS = 16


def redis_socket(url: str) -> socket.socket:
    """A connection to Redis without a client library in between."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(parts.path)
    else:
        sock = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def command(*words: bytes) -> bytes:
    """A Redis command as it goes over the wire."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def spreads_ms(ways: dict[str, Callable[[], None]]) -> dict[str, tuple[float, float]]:
    """p50 and p99 of each way, in milliseconds, of rounds with pauses."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, round_trip in ways.items():
            for _ in range(ROUNDS):
                began = time.perf_counter()
                round_trip()
                took[name].append((time.perf_counter() - began) * 1000)
                time.sleep(PAUSE_S)
    return {name: (median(each), quantiles(each, n=100)[98]) for name, each in took.items()}


class BarePublish:
    """PUBLISH on one connection, heard on another."""

    def __init__(self, url: str, payload: bytes) -> None:
        self._publisher, self._listener = redis_socket(url), redis_socket(url)
        self._command = command(b"PUBLISH", b"bench", payload)
        self._listener.sendall(command(b"SUBSCRIBE", b"bench"))
        self._listener.recv(1 << 16)
        self._size = len(payload)

    def __call__(self) -> None:
        self._publisher.sendall(self._command)
        got = 0
        while got < self._size:
            got += len(self._listener.recv(1 << 16))
        self._publisher.recv(1 << 16)


class BareCommit:
    """The script of a commit on one connection, which syncs the file; its entry heard on another.

    Args:
        calls: Keys and arguments of one commit after another.
    """

    def __init__(
        self, url: str, digest: str, channel: str, calls: Iterator[tuple[Sequence[str], Sequence[Any]]]
    ) -> None:
        self._caller, self._listener = redis_socket(url), redis_socket(url)
        self._digest = digest
        self._calls = calls
        self._listener.sendall(command(b"SUBSCRIBE", channel.encode()))
        self._listener.recv(1 << 16)

    def __call__(self) -> None:
        keys, args = next(self._calls)
        self._caller.sendall(pack_command(("EVALSHA", self._digest, len(keys), *keys, *args)))
        heard = b""
        while not heard.endswith(b"}\r\n"):
            heard += self._listener.recv(1 << 16)
        answer = self._caller.recv(1 << 16)
        if b"done" not in answer:
            raise RuntimeError(f"the script did not commit: {answer!r}")


class Forwarded:
    """PUBLISH on a channel, heard on a websocket to which another server forwards it."""

    def __init__(self, url: str, port: int, payload: bytes) -> None:
        self._publisher = redis_socket(url)
        [(self._socket, _)] = connect(port, [opening(port, "/")])
        self._command = command(b"PUBLISH", b"forwarded", payload)

    def __call__(self) -> None:
        self._publisher.sendall(self._command)
        read_frame(self._socket)
        self._publisher.recv(1 << 16)


class Published:
    """PUBLISH on the channel of a topic, heard on a websocket that follows it."""

    def __init__(self, url: str, channel: str, message: bytes, listener: socket.socket) -> None:
        self._publisher, self._listener = redis_socket(url), listener
        self._command = command(b"PUBLISH", channel.encode(), message)

    def __call__(self) -> None:
        self._publisher.sendall(self._command)
        while b'"passing"' not in read_frame(self._listener):
            pass
        self._publisher.recv(1 << 16)


class Event:
    """An event sent over one websocket, its entry heard on another."""

    def __init__(self, machine: str, sender: socket.socket, listener: socket.socket) -> None:
        self._machine, self._sender, self._listener = machine, sender, listener
        self._numbers = itertools.count(1)

    def __call__(self) -> None:
        number = next(self._numbers)
        self._sender.sendall(rename(self._machine, number))
        wanted = b'"title %d"' % number
        while wanted not in read_frame(self._listener):
            pass
        read_frame(self._sender)


def rename(machine: str, number: int) -> bytes:
    """The frame of an event that any case accepts."""
    data = {"title": f"title {number}"}
    return text_frame(
        orjson.dumps({"type": "send", "id": number, "machine": machine, "event": "rename", "data": data})
    )


def _load(port: int, requests: list[bytes], machines: list[str], rate: float, seconds: float) -> int:
    """Send events over some sockets, each after its answer, at most `rate` a second in all."""
    sockets = [sock for sock, _ in connect(port, requests)]
    began = time.monotonic()
    sent = 0
    while (now := time.monotonic()) < began + seconds:
        if rate and sent >= (now - began) * rate:
            time.sleep(0.0005)
            continue
        batch = len(sockets) if not rate else 1
        used = [sockets[(sent + i) % len(sockets)] for i in range(batch)]
        for i, sock in enumerate(used):
            sock.sendall(rename(machines[(sent + i) % len(machines)], sent + i))
        for sock in used:
            read_frame(sock)
        sent += batch
    for sock in sockets:
        sock.close()
    return sent


class Load:
    """Events from another process while the block runs."""

    def __init__(self, port: int, requests: list[bytes], machines: list[str]) -> None:
        self._arguments = (port, requests, machines)
        self._pool = multiprocessing.get_context("spawn").Pool(1)

    def most_per_s(self, seconds: float = 2.0) -> float:
        """How many events a second come through."""
        return self._pool.apply(_load, (*self._arguments, 0.0, seconds)) / seconds

    def begin(self, rate: float, seconds: float) -> None:
        """Send so many a second for a while."""
        self._pool.apply_async(_load, (*self._arguments, rate, seconds))

    def close(self) -> None:
        """End the process."""
        self._pool.terminate()
        self._pool.join()
