"""Pages of finished machines, whether Redis still has them or Postgres alone."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection

from machines.step import Step
from storage.archive import archive, finished_of, finished_page, place
from storage.database import create_engine
from storage.machine_store import MachineStore, new_machine_id
from tests.storage.steps import SHARDS, TOPIC, made, then


@pytest_asyncio.fixture(loop_scope="session")
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(database)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def ended(store: MachineStore, at: float, *, machine: str | None = None, topic: str = TOPIC) -> Step:
    """A machine that has ended at a time."""
    step = made(topic, updated_at=1.0, **({} if machine is None else {"id": machine}))
    await store.commit(step, event_id="a", actor="u1")
    last = then(step, terminated=True, updated_at=at)
    await store.commit(last, event_id="b", actor="u1")
    return last


async def test_pages_show_every_finished_machine_of_a_topic_once_in_a_stable_order(
    store: MachineStore, connection: AsyncConnection
) -> None:
    chance = random.Random(7)
    # Capitals and dashes, which many collations order in another way than Redis does.
    tail = "0aA_Z9zB"
    names = [f"{new_machine_id('case', TOPIC, SHARDS)}{chance.choice(tail)}" for _ in range(60)]
    steps = [await ended(store, float(chance.randint(1, 9)), machine=name) for name in names]
    await ended(store, 5.0, topic="case:other")
    live = made()
    await store.commit(live, event_id="a", actor="u1")
    for step in steps:
        fate = chance.random()
        if fate < 0.8:  # the rest ended a moment ago
            await archive(connection, [step.snapshot])
        if fate < 0.4:
            await store.evict(step.snapshot.id)
    await archive(connection, [live.snapshot])
    expected = sorted((place(step.snapshot) for step in steps), reverse=True)
    seen: list[tuple[float, str]] = []
    while page := await finished_of(store, connection, TOPIC, seen[-1] if seen else None, 7):
        seen += [place(snapshot) for snapshot in page]
    assert seen == expected


async def test_a_page_of_postgres_goes_on_where_the_topic_ends(
    store: MachineStore, connection: AsyncConnection
) -> None:
    steps = [await ended(store, float(n // 5)) for n in range(30)]
    await archive(connection, [step.snapshot for step in steps])
    newest = (await store.read_topic(TOPIC)).machines[:12]
    assert [place(machine) for machine in newest] == sorted(map(place, newest), reverse=True)
    rest = await finished_page(connection, TOPIC, place(newest[-1]), 100)
    assert [place(machine) for machine in (*newest, *rest)] == sorted(
        (place(step.snapshot) for step in steps), reverse=True
    )
