"""Many sockets on one topic, and what each of them has got of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from server.line import SocketLine
from tests.server.live import Live, Person, Wire

MANY = 24
"""More than go one by one: the compiled loop sends to them."""


@asynccontextmanager
async def crowd(person: Person, topic: str, count: int = MANY) -> AsyncIterator[list[Wire]]:
    """Sockets of one person that follow a topic."""
    async with AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(person.socket(compression=None, max_queue=None))
            for _ in range(count)
        ]
        for wire in wires:
            assert (await wire.ask("subscribe", topic=topic))["type"] == "ok"
        yield wires


@asynccontextmanager
async def owners_and_viewers(
    live: Live,
) -> AsyncIterator[tuple[dict[str, Any], Person, list[Wire], list[Wire]]]:
    """A case, its viewer, and many sockets of the owner and of the viewer, all of which have one entry."""
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        topic = f"case:{case['id']}"
        await ann.invite(case, bob, "viewer")
        async with crowd(ann, topic) as owners, crowd(bob, topic) as viewers:
            await rename(live, case["machine"], 1)
            for wire in (*owners, *viewers):
                assert await titles(wire, 1) == expected(1)
            yield case, bob, owners, viewers


def lines_of(live: Live) -> list[SocketLine]:
    return [line for line in live.parts.sockets._turns if isinstance(line, SocketLine)]


async def rename(live: Live, machine: str, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        await live.parts.engine.send(
            machine, "rename", {"title": f"{number}"}, source="client", role="owner", actor="u1"
        )


async def titles(wire: Wire, count: int) -> list[str]:
    """The titles of so many entries, in the order in which they came."""
    found = [m for m in wire.seen if m["type"] == "entry"]
    while len(found) < count:
        message = await wire.read()
        if message["type"] == "entry":
            found.append(message)
    offsets = [entry["offset"] for entry in found]
    assert offsets == list(range(offsets[0], offsets[0] + count))
    return [entry["context"]["title"] for entry in found]


def expected(count: int) -> list[str]:
    return [f"{number}" for number in range(count)]
