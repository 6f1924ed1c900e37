"""Machines found in the archive, as if every one were looked at; and what was archived before, too."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from machines.snapshot import Snapshot
from storage import machine_search
from storage.archive import archive
from storage.database import create_engine
from storage.machine_search import Criteria, FoundMachine, MachineSearch, TooWide

TOPICS = ["case:a", "case:b", "user:ann"]
KINDS = ["upload", "query"]


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database)
    yield made
    await made.dispose()


def snapshot(name: str, **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "id": name,
        "kind": name.partition("-")[0],
        "chart_version": 1,
        "chart_hash": "h",
        "topic": "case:a",
        "revision": 1,
        "configuration": ["s"],
        "context": {},
        "updated_at": 100.0,
    }
    return Snapshot(**values | changes)


works = st.fixed_dictionaries(
    {"status": st.sampled_from(["queued", "running", "done"]), "since": st.integers(1, 9).map(float)}
)
contexts = st.fixed_dictionaries(
    {}, optional={"filename": st.sampled_from(["50%_a.pdf", "Ab.pdf"]), "title": st.just("Ab"),
                  "work": st.dictionaries(st.sampled_from(["s", "t"]), works)},
)  # fmt: skip
snapshots = st.lists(
    st.builds(
        lambda kind, token, **more: snapshot(f"{kind}-0-{token}", **more),
        st.sampled_from(KINDS),
        st.integers(0, 99).map("{:02}".format),
        topic=st.sampled_from([*TOPICS, "case:hidden"]),
        configuration=st.sampled_from([["s"], ["t"], ["s", "t"]]),
        updated_at=st.integers(1, 6).map(float),
        terminated=st.booleans(),
        context=contexts,
    ),
    max_size=25,
    unique_by=lambda s: s.id,
)
criteria = st.builds(
    Criteria,
    kind=st.sampled_from([None, *KINDS]),
    state=st.sampled_from([None, "s", "t", "u"]),
    owner=st.sampled_from([None, None, "ann"]),
    text=st.sampled_from([None, None, "upload-0-1", "50%_", "AB"]),
    changed_after=st.sampled_from([0.0, 0.0, 3.0]),
    changed_before=st.sampled_from([math.inf, math.inf, 4.0]),
    finished=st.sampled_from([None, True, False]),
)


def fits(s: Snapshot, by: str, wanted: Criteria) -> bool:
    title = s.context.get("filename") or s.context.get("title") or ""
    return (
        s.topic in TOPICS
        and wanted.kind in (None, s.kind)
        and (wanted.state is None or wanted.state in s.configuration)
        and (wanted.owner is None or by == wanted.owner or s.topic == f"user:{wanted.owner}")
        and (wanted.text is None or s.id.startswith(wanted.text) or wanted.text.lower() in title.lower())
        and wanted.changed_after <= s.updated_at < wanted.changed_before
        and wanted.finished in (None, s.terminated)
    )


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(kept=snapshots, wanted=criteria, limit=st.integers(1, 4), spawned=st.sets(st.integers(0, 24)))
async def test_pages_hold_every_machine_that_fits_once_and_in_order(
    kept: list[Snapshot],
    wanted: Criteria,
    limit: int,
    spawned: set[int],
    engine: AsyncEngine,
) -> None:
    by = {s.id: "ann" if number in spawned else "system" for number, s in enumerate(kept)}

    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE archived_machines"))
        await archive(connection, kept, by)
    search = MachineSearch(engine)
    found: list[FoundMachine] = []
    while page := await search.page(
        TOPICS, wanted, before=(found[-1].updated_at, found[-1].id) if found else None, limit=limit
    ):
        found += page
    expected = sorted(
        (s for s in kept if fits(s, by[s.id], wanted)), key=lambda s: (s.updated_at, s.id), reverse=True
    )
    assert [machine.id for machine in found] == [s.id for s in expected]
    for machine, s in zip(found, expected, strict=True):
        assert (machine.states, machine.work) == (s.configuration, s.context.get("work", {}))
        assert machine.spawned_by == by[s.id]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(kept=snapshots)
async def test_machines_archived_before_there_was_a_search_are_filled_in_alike(
    kept: list[Snapshot], engine: AsyncEngine
) -> None:
    columns = text("SELECT id, states, title, busy_since FROM archived_machines ORDER BY id")

    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE archived_machines"))
        await archive(connection, kept)
        written = (await connection.execute(columns)).all()
        await connection.execute(
            text("UPDATE archived_machines SET states = '{}', title = '', busy_since = NULL")
        )
        fill = import_module("storage.migrations.versions.0004_machine_search").FILL
        await connection.exec_driver_sql(fill)
        filled = (await connection.execute(columns)).all()
    assert filled == written


async def test_counts_are_by_kind_and_state_and_say_how_many_were_looked_at(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.begin() as connection:
        machines = [snapshot(f"upload-0-{n}", terminated=n == 0) for n in range(3)]
        await archive(connection, [*machines, snapshot("query-0-1", configuration=["s", "t"])])
        await archive(connection, [snapshot("upload-0-x", topic="case:hidden")])
    counts, counted = await MachineSearch(engine).counts(TOPICS)
    told = {(c.kind, c.state): (c.machines, c.finished) for c in counts}
    assert told == {("query", "s"): (1, 0), ("query", "t"): (1, 0), ("upload", "s"): (3, 1)}
    assert counted == 4
    monkeypatch.setattr(machine_search, "MOST_COUNTED", 2)
    counts, counted = await MachineSearch(engine).counts(TOPICS)
    assert counted == 2


async def test_what_waits_longest_comes_first_and_nothing_that_is_idle_or_hidden(engine: AsyncEngine) -> None:
    def busy(name: str, since: float, **more: Any) -> Snapshot:
        return snapshot(name, context={"work": {"s": {"status": "queued", "since": since}}}, **more)

    async with engine.begin() as connection:
        await archive(
            connection,
            [
                busy("upload-0-late", 9.0),
                busy("upload-0-early", 3.0),
                busy("upload-0-hidden", 1.0, topic="case:hidden"),
                busy("upload-0-left", 1.0, configuration=["t"]),
                snapshot("upload-0-idle"),
            ],
        )
    search = MachineSearch(engine)
    assert await search.busy(TOPICS, before=100.0) == ["upload-0-early", "upload-0-late"]
    assert await search.busy(TOPICS, before=5.0) == ["upload-0-early"]


async def test_a_search_that_takes_too_long_is_given_up_with_advice(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_search, "_page", lambda: text("SELECT pg_sleep(600)"))
    monkeypatch.setattr(machine_search, "LONGEST_S", 0.05)
    with pytest.raises(TooWide, match="name a case"):
        await MachineSearch(engine).page(TOPICS, Criteria(), limit=1)


async def test_who_spawned_a_machine_stays_known_when_later_entries_are_archived(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await archive(connection, [snapshot("upload-0-1")], {"upload-0-1": "ann"})
        await archive(connection, [snapshot("upload-0-1", revision=2)])
    assert await MachineSearch(engine).spawners(["upload-0-1"]) == {"upload-0-1": ("ann", "")}
