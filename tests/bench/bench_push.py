"""Push to very many sockets: broadcast, memory, reconnecting crowds, latency, small JSON answers.

`python -m tests.bench.bench_push [broadcast|memory|reconnect|latency|json …]` prints Markdown tables;
each part takes at most a minute. Server and reader are processes of their own.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from pathlib import Path

import orjson
import psutil
import uvloop
from redis import Redis

from server.auth import COOKIE
from server.front import PUBLIC
from storage import machine_store_redis
from tests.bench.push_crowd import (
    Crowd,
    Result,
    connect,
    opening,
    requests_per_s,
    text_frame,
)
from tests.bench.push_latency import (
    LOADERS,
    BareCommit,
    BarePublish,
    Event,
    Forwarded,
    Load,
    Published,
    spreads_ms,
)
from tests.bench.push_peers import TEXT
from tests.bench.push_returning import come_back
from tests.bench.push_stage import Stage, bare_commits, stage
from tests.bench.serving import free_port

ROUNDS = 3
ROUND_S = 1.0
RETURNING = 10_000
RETURNING_CASES = 100
RETURNING_ENTRIES = 50
JSON_PATHS = ("/api/charts/case.json", "/healthz")
PEERS = ("starlette", "websockets", "socketify")


@contextmanager
def peer(name: str, *arguments: str) -> Iterator[tuple[int, psutil.Process]]:
    """A peer in a process of its own; its port and process."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.push_peers", name, str(port), *arguments]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def _listeners(of: Stage, count: int, *, case: int = 0, first_person: int = 0) -> list[socket.socket]:
    """Sockets that follow a case, each of another person."""
    subscribe = orjson.dumps({"type": "subscribe", "id": 1, "topic": f"case:{of.cases[case]}"})
    requests = [of.request((first_person + i) % len(of.tokens)) for i in range(count)]
    return [sock for sock, _ in connect(of.server.port, requests, subscribe)]


def _messages(of: Stage) -> Iterator[bytes]:
    """Passing messages of the case, as long as what the peers send.

    Each is of another kind: where some of one kind wait, Casewire would send only the newest.
    """
    message = orjson.loads(TEXT) | {"topic": f"case:{of.cases[0]}", "machine": of.machines[0]}
    for number in itertools.count(1):
        message["what"] = f"{number:08d}"
        short = len(TEXT) - len(orjson.dumps(message))
        message["data"]["note"] = "x" * (len(message["data"]["note"]) + short)
        yield orjson.dumps(message)


def _broadcast(of: Stage, count: int) -> list[str]:
    redis = Redis.from_url(of.redis_url)
    messages, channel = _messages(of), of.channel(0)
    crowds: dict[str, tuple[Crowd, psutil.Process]] = {}
    results: dict[str, list[tuple[Result, float]]] = {}
    with ExitStack() as stack:
        stack.callback(redis.close)
        for name in PEERS:
            port, process = stack.enter_context(peer(name))
            listeners = [sock for sock, _ in connect(port, [opening(port, "/")] * count)]
            [(control, _)] = connect(port, [opening(port, "/control")])
            crowd = Crowd(listeners, lambda control=control: control.sendall(text_frame(b"p")))
            crowds[name] = (crowd, process)
        ours = Crowd(_listeners(of, count), lambda: redis.execute_command("PUBLISH", channel, next(messages)))
        crowds["Casewire"] = (ours, of.process)
        for crowd, _ in crowds.values():
            stack.callback(crowd.close)
        for _ in range(ROUNDS):
            for name, (crowd, process) in crowds.items():
                results.setdefault(name, []).append(_timed(crowd, process))
        silent = _silent(of, max(10, count // 100), count)
        beside = f"Casewire, {len(silent)} more who read nothing"
        for _ in range(ROUNDS):
            results.setdefault(beside, []).append(_timed(ours, of.process))
        for sock in silent:
            sock.close()
    stock, stock_cpu = _middle(results["starlette"])
    rows = []
    for name, found in results.items():
        middle, per_cpu = _middle(found)
        best = max(result.rate for result, _ in found)
        rows.append(
            f"| {count:,} | {name} | {middle.rate / 1000:.0f} k | {best / 1000:.0f} k "
            f"| {per_cpu / 1000:.0f} k | {middle.p50_ms:.1f} | {middle.p99_ms:.1f} "
            f"| {middle.rate / stock.rate:.1f} × | {per_cpu / stock_cpu:.1f} × |"
        )
    return rows


def _timed(crowd: Crowd, process: psutil.Process) -> tuple[Result, float]:
    """A run, and the deliveries for each second that the server computed."""
    before = process.cpu_times()
    result = crowd.run(ROUND_S)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return result, result.deliveries / max(spent, 0.01)


def _silent(of: Stage, count: int, first_person: int) -> list[socket.socket]:
    """Sockets that follow the case, and never read; their buffers are small."""
    sockets = _listeners(of, count, first_person=first_person)
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return sockets


def _middle(results: list[tuple[Result, float]]) -> tuple[Result, float]:
    """The round of middle rate, and the middle of what a second of the server's time gave."""
    rounds = sorted(results, key=lambda found: found[0].rate)
    return rounds[len(rounds) // 2][0], statistics.median(per_cpu for _, per_cpu in results)


async def broadcast() -> None:
    """One message to all of many sockets, as fast as it goes."""
    print(
        "| sockets | server | deliveries/s, middle round | best | for each second of its CPU "
        "| p50 ms | p99 ms | beside stock | by CPU |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    async with stage(people=3_100) as of:
        for count in (1_000, 3_000):
            for row in await asyncio.to_thread(_broadcast, of, count):
                print(row, flush=True)


async def memory() -> None:
    """What a connected and subscribed socket adds to the server's memory."""
    print("| sockets | server memory before | after | each | in one GiB |")
    print("|---|---|---|---|---|")
    async with stage(people=5_000) as of:
        warm = await asyncio.to_thread(_listeners, of, 200)
        await asyncio.sleep(1)
        before = of.process.memory_info().rss
        sockets = await asyncio.to_thread(_listeners, of, 4_800, first_person=200)
        await asyncio.sleep(2)
        after = of.process.memory_info().rss
        each = (after - before) / len(sockets)
        print(
            f"| {len(sockets):,} | {before / 2**20:.0f} MiB | {after / 2**20:.0f} MiB "
            f"| {each / 1024:.1f} KiB | {2**30 / each:,.0f} |"
        )
        for sock in warm + sockets:
            sock.close()


async def _quiet(of: Stage) -> None:
    """Wait until the server has done what follows from earlier events, half a minute at most."""
    for _ in range(30):
        before = of.process.cpu_times()
        await asyncio.sleep(1)
        after = of.process.cpu_times()
        if after.user + after.system - before.user - before.system < 0.1:
            return


async def reconnect() -> None:
    """Everybody comes back at once with the position they had."""
    print("| sockets | back after | recovered | snapshots | refused | entries | server CPU |")
    print("|---|---|---|---|---|---|---|")
    async with stage(people=RETURNING, cases=RETURNING_CASES) as of:
        for _ in range(RETURNING_ENTRIES):
            await asyncio.gather(
                *(
                    of.engine.send(machine, "rename", {"title": "Again"}, source="client", role="owner")
                    for machine in of.machines
                )
            )
        dice = random.Random(1)
        topics = [f"case:{case}" for case in of.cases]
        positions = [await of.store.position(topic) for topic in topics]
        visits = []
        for person in range(RETURNING):
            case = person % RETURNING_CASES
            epoch, offset = positions[case]
            visits.append((of.request(person), topics[case], epoch, dice.randrange(1, offset + 1)))
        await _quiet(of)
        before = of.process.cpu_times()
        began = time.monotonic()
        async with asyncio.timeout(60):
            returned, transports = await come_back(of.server.port, visits)
        took = time.monotonic() - began
        after = of.process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        print(
            f"| {RETURNING:,} | {took:.1f} s | {returned.recovered:,} | {returned.snapshots} "
            f"| {returned.refused} | {returned.entries:,} | {spent:.1f} s |"
        )
        for transport in transports:
            transport.abort()
        if returned.wrong:
            raise RuntimeError(f"{len(returned.wrong)} went wrong: {returned.wrong[:3]}")


def _latency(of: Stage) -> list[str]:
    loaders = LOADERS
    machines = of.machines[1 : loaders + 1]
    load = Load(of.server.port, [of.request(i + 1) for i in range(loaders)], machines)
    cases = len(of.cases)
    listener, other = _listeners(of, 1)[0], _listeners(of, 1, first_person=cases)[0]
    [(sender, _)] = connect(of.server.port, [of.request(2 * cases)])
    message = next(_messages(of))
    bare_case = cases - 1
    with Redis.from_url(of.redis_url) as redis, peer("pubsub", of.redis_url) as (port, _):
        digest = redis.script_load(
            (Path(machine_store_redis.__file__).parent / "commit.lua").read_text(encoding="utf-8")
        )
        ways: dict[str, Callable[[], None]] = {
            "bare PUBLISH → subscriber": BarePublish(of.redis_url, message),
            "PUBLISH → websocket": Published(of.redis_url, of.channel(0), message, other),
            "PUBLISH → redis-py → uvicorn’s websocket": Forwarded(of.redis_url, port, message),
            "bare commit → subscriber": BareCommit(
                of.redis_url, digest, of.channel(bare_case), bare_commits(of, bare_case)
            ),
            "event → another’s websocket": Event(of.machines[0], sender, listener),
        }
        rows = []
        try:
            most = load.most_per_s()
            for name, rate in (("idle", 0.0), (f"half load, {most / 2:.0f} events/s", most / 2)):
                if rate:
                    load.begin(rate, 60)
                    time.sleep(0.5)
                found = spreads_ms(ways)
                bare, commit = found["bare PUBLISH → subscriber"], found["bare commit → subscriber"]
                for way, (p50, p99) in found.items():
                    beside = (p50 / bare[0], p99 / bare[1], p50 / commit[0], p99 / commit[1])
                    times = " | ".join(f"{each:.1f} ×" for each in beside)
                    rows.append(f"| {name} | {way} | {p50:.2f} | {p99:.2f} | {times} |")
        finally:
            load.close()
    return rows


async def latency() -> None:
    """One event at a time to another socket, on a quiet and on a busy server."""
    print("| server | way | p50 ms | p99 ms | p50 beside PUBLISH | p99 | p50 beside the commit | p99 |")
    print("|---|---|---|---|---|---|---|---|")
    async with stage(people=60, cases=20) as of:
        for row in await asyncio.to_thread(_latency, of):
            print(row, flush=True)


def _get(path: str, cookie: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}\r\n".encode()


def _body(port: int, request: bytes) -> bytes:
    """What is answered, without headers."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(request)
        answer = HTTPResponse(sock)
        answer.begin()
        return answer.read()


def _json(of: Stage) -> list[str]:
    login = f"Cookie: {COOKIE}={of.tokens[0]}\r\n"
    bodies = [_body(of.server.port, _get(path, login)) for path in JSON_PATHS]
    rows = []
    with peer("json", *(body.decode() for body in bodies)) as (port, stock):
        for n, (path, body) in enumerate(zip(JSON_PATHS, bodies, strict=True)):
            if _body(port, _get(f"/{n}")) != body:
                raise RuntimeError(f"not the same answer: {path}")
            cookie, whose = ("", "public") if path in PUBLIC else (login, "with a login")
            asked = {
                "uvicorn + Starlette + orjson, no login": (port, stock, _get(f"/{n}")),
                f"Casewire, {path}, {whose}": (of.server.port, of.process, _get(path, cookie)),
                "the same, parsed each time": (
                    of.server.port,
                    of.process,
                    _get(f"http://127.0.0.1{path}", cookie),  # not learned in this form
                ),
                "the same through the router": (of.server.port, of.process, _get(f"{path}?active=", cookie)),
            }
            rows += _compared(asked, len(body))
    return rows


def _compared(asked: dict[str, tuple[int, psutil.Process, bytes]], body_bytes: int) -> list[str]:
    """Each in turn, round by round; the first is what the others stand beside."""
    rates: dict[str, list[float]] = {name: [] for name in asked}
    per_cpu: dict[str, list[float]] = {name: [] for name in asked}
    sizes = {}
    for _ in range(ROUNDS):
        for name, (port, process, request) in asked.items():
            before = process.cpu_times()
            rate, sizes[name] = requests_per_s(port, request, connections=32, seconds=ROUND_S)
            after = process.cpu_times()
            spent = after.user + after.system - before.user - before.system
            rates[name].append(rate)
            per_cpu[name].append(rate * ROUND_S / max(spent, 0.01))
    base, base_cpu = (statistics.median(next(iter(found.values()))) for found in (rates, per_cpu))
    return [
        f"| {name} | {body_bytes:,} | {sizes[name]:,} | {statistics.median(found):,.0f} "
        f"| {statistics.median(per_cpu[name]):,.0f} | {statistics.median(found) / base:.1f} × "
        f"| {statistics.median(per_cpu[name]) / base_cpu:.1f} × |"
        for name, found in rates.items()
    ]


async def json() -> None:
    """A small JSON answer over 32 kept connections, the same body from both servers."""
    print(
        "| server | bytes | with headers | requests/s | for each second of its CPU | beside stock | by CPU |"
    )
    print("|---|---|---|---|---|---|---|")
    async with stage(people=1) as of:
        for row in await asyncio.to_thread(_json, of):
            print(row, flush=True)


PARTS: dict[str, Callable[[], Awaitable[None]]] = {
    "broadcast": broadcast,
    "memory": memory,
    "reconnect": reconnect,
    "latency": latency,
    "json": json,
}


async def main(names: list[str]) -> None:
    for name in names or list(PARTS):
        print(f"\n### {name}\n", flush=True)
        await PARTS[name]()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
