"""Many websockets read by one compiled loop, so that the reader is not what a benchmark measures.

One thread waits with epoll and reads with `recv` without the interpreter; it counts bytes, which are
whole messages since all of a run are equally long, and notes how long each delivery took.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types

PONG = b"\x8a\x80" + bytes(4)
AT_A_TIME = 200
"""Handshakes under way at once."""
BUCKETS = 200_000
BUCKET_NS = 10_000

_word = types.intp
_int = types.int32
_epoll_wait: Any = types.ExternalFunction("epoll_wait", _int(_int, _word, _int, _int))
_recv: Any = types.ExternalFunction("recv", _word(_int, _word, _word, _int))
_send: Any = types.ExternalFunction("send", _word(_int, _word, _word, _int))
_clock: Any = types.ExternalFunction("clock_gettime", _int(_int, _word))


@njit
def _now(clock: Any) -> int:
    _clock(1, clock.ctypes.data)
    return int(clock[0] * 1_000_000_000 + clock[1])


@njit
def _read(
    epoll: int,
    events: Any,
    buffer: Any,
    clock: Any,
    heard: Any,
    size: int,
    sent_ns: Any,
    spread: Any,
    wanted: int,
    until_ns: int,
) -> int:
    """Read until so many messages have come, or a time; returns how many have.

    `heard` counts bytes by descriptor; `sent_ns` is a ring of the times of the newest messages.
    """
    got = 0
    while got < wanted:
        count = _epoll_wait(epoll, events.ctypes.data, 1024, 20)
        for i in range(count):
            fd = events[3 * i + 1]  # twelve bytes each: what happened, then the descriptor
            taken = _recv(fd, buffer.ctypes.data, buffer.shape[0], 64)
            if taken <= 0:
                continue
            now = _now(clock)
            before = heard[fd] // size
            heard[fd] += taken
            after = heard[fd] // size
            for message in range(before, after):
                took = (now - sent_ns[message % sent_ns.shape[0]]) // 10_000
                spread[min(max(took, 0), spread.shape[0] - 1)] += 1
            got += after - before
        if _now(clock) > until_ns:
            break
    return got


@njit
def _ask(
    epoll: int, events: Any, buffer: Any, clock: Any, left: Any, size: int, request: Any, until_ns: int
) -> int:
    """Send a request whenever an answer of `size` bytes has come, until a time; returns how many have.

    `left` counts by descriptor the bytes that are still to come.
    """
    answers = 0
    while _now(clock) < until_ns:
        count = _epoll_wait(epoll, events.ctypes.data, 1024, 20)
        for i in range(count):
            fd = events[3 * i + 1]
            taken = _recv(fd, buffer.ctypes.data, buffer.shape[0], 64)
            if taken <= 0:
                continue
            left[fd] -= taken
            if left[fd] <= 0:
                left[fd] = size
                answers += 1
                _send(fd, request.ctypes.data, request.shape[0], 0x4000)
    return answers


def text_frame(text: bytes) -> bytes:
    """As a client sends it, masked with zeros."""
    size = len(text)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0xFE, size)
    return head + bytes(4) + text


def read_frame(sock: socket.socket) -> bytes:
    """The payload of one frame of a server's."""
    head = _exactly(sock, 2)
    size = head[1]
    if size == 126:
        size = struct.unpack("!H", _exactly(sock, 2))[0]
    elif size == 127:
        size = struct.unpack("!Q", _exactly(sock, 8))[0]
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        piece = sock.recv(size - len(parts))
        if not piece:
            raise ConnectionError(f"the connection ended; so far {bytes(parts)!r}")
        parts += piece
    return bytes(parts)


def opening(port: int, path: str, headers: str = "") -> bytes:
    """The request of a websocket handshake."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


def connect(
    port: int, requests: Sequence[bytes], first: bytes = b""
) -> Iterator[tuple[socket.socket, bytes]]:
    """Open one websocket for each request; with `first`, send that and read the answer to it."""
    for start in range(0, len(requests), AT_A_TIME):
        group = []
        for request in requests[start : start + AT_A_TIME]:
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.sendall(request)
            group.append(sock)
        for sock in group:
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += _exactly(sock, 1)
            if b" 101 " not in answer.split(b"\r\n")[0]:
                raise ConnectionError(answer.decode())
            if first:
                sock.sendall(text_frame(first))
        for sock in group:
            yield sock, read_frame(sock) if first else b""


@dataclass
class Result:
    """What came of one run: deliveries, how many a second, and how long they took in milliseconds."""

    deliveries: int
    rate: float
    p50_ms: float
    p99_ms: float


class Crowd:
    """Connected sockets that all get the same messages.

    Args:
        publish: Has the server send the next message to all.
    """

    def __init__(self, sockets: Sequence[socket.socket], publish: Callable[[], object]) -> None:
        self.sockets = list(sockets)
        self._publish = publish
        self._epoll = select.epoll()
        for sock in self.sockets:
            sock.setblocking(False)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._heard = np.zeros(max(sock.fileno() for sock in self.sockets) + 1, dtype=np.int64)
        self._sent_ns = np.zeros(1024, dtype=np.int64)
        self._spread = np.zeros(BUCKETS, dtype=np.int64)
        self._events = np.zeros(3 * 1024, dtype=np.int32)
        self._buffer = np.zeros(1 << 18, dtype=np.uint8)
        self._clock = np.zeros(2, dtype=np.int64)
        self._size = 1
        self._messages = 0
        self._probe()

    def _take(self, wanted: int, until_ns: int) -> int:
        return int(
            _read(
                self._epoll.fileno(),
                self._events,
                self._buffer,
                self._clock,
                self._heard,
                self._size,
                self._sent_ns,
                self._spread,
                wanted,
                until_ns,
            )
        )

    def _probe(self) -> None:
        """Find out how long a message is; once more where a ping came between."""
        self._take(1, time.monotonic_ns() + 200_000_000)
        for _ in range(5):
            self._heard[:] = 0
            self._publish()
            self._take(1 << 40, time.monotonic_ns() + 1_000_000_000)
            sizes = {int(self._heard[sock.fileno()]) for sock in self.sockets}
            if len(sizes) == 1 and sizes != {0}:
                break
        else:
            raise RuntimeError(f"not everybody got the same: {sizes}")
        self._size = sizes.pop()
        self._messages = 1

    def run(self, seconds: float, window: int = 2) -> Result:
        """Publish as fast as everybody gets it, with so many messages on their way at a time.

        Raises:
            RuntimeError: What was sent did not arrive.
        """
        self._answer_pings()
        self._spread[:] = 0
        count = len(self.sockets)
        began = time.monotonic_ns()
        until = began + int(seconds * 1e9)
        owed = delivered = 0
        while time.monotonic_ns() < until:
            while owed < window * count:
                self._sent_ns[self._messages % 1024] = time.monotonic_ns()
                self._messages += 1
                owed += count
                self._publish()
            got = self._take(owed - (window - 1) * count, until + 5_000_000_000)
            owed -= got
            delivered += got
        took = time.monotonic_ns() - began
        rest = self._take(owed, time.monotonic_ns() + 5_000_000_000)
        if rest != owed:
            whole = [int(self._heard[sock.fileno()]) // self._size for sock in self.sockets]
            raise RuntimeError(f"{owed - rest} messages of {self._messages} did not arrive: {Counter(whole)}")
        return Result(delivered, delivered / took * 1e9, self._percentile(0.5), self._percentile(0.99))

    def _answer_pings(self) -> None:
        """Say that everybody is alive, and leave out of the count what was no message."""
        self._take(1 << 40, time.monotonic_ns() + 30_000_000)
        for sock in self.sockets:
            sock.send(PONG)
        self._heard[:] = self._messages * self._size

    def _percentile(self, share: float) -> float:
        total = np.cumsum(self._spread)
        return float(np.searchsorted(total, share * total[-1]) * BUCKET_NS / 1e6)

    def close(self) -> None:
        """Close every socket."""
        self._epoll.close()
        for sock in self.sockets:
            sock.close()


def requests_per_s(port: int, request: bytes, *, connections: int, seconds: float) -> tuple[float, int]:
    """HTTP requests over kept connections, one at a time on each: answers a second, and their bytes."""
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(connections)]
    try:
        sockets[0].sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sockets[0].recv(1 << 16)
        head, _, body = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(answer.decode())
        [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        missing = int(length.split(b":")[1]) - len(body)
        _exactly(sockets[0], missing)
        size = len(answer) + missing
        epoll = select.epoll()
        left = np.full(max(sock.fileno() for sock in sockets) + 1, size, dtype=np.int64)
        for sock in sockets:
            sock.setblocking(False)
            epoll.register(sock.fileno(), select.EPOLLIN)
            sock.send(request)
        began = time.monotonic_ns()
        answers = _ask(
            epoll.fileno(),
            np.zeros(3 * 1024, dtype=np.int32),
            np.zeros(1 << 18, dtype=np.uint8),
            np.zeros(2, dtype=np.int64),
            left,
            size,
            np.frombuffer(request, dtype=np.uint8).copy(),
            began + int(seconds * 1e9),
        )
        took = time.monotonic_ns() - began
        epoll.close()
        return answers / took * 1e9, size
    finally:
        for sock in sockets:
            sock.close()
