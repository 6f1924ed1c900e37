"""Workers keep to the cores that they are given, and to the memory that is free."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from server.pinning import format_cores, memory_nodes, own_cores, parse_cores, shares
from server.services import Services
from server.settings import Settings
from server.supervisor import Supervisor
from tests.server.hungry_bindings import REFUSED, ROOM
from tests.server.runtime_bindings import RUNS
from tests.server.runtime_parts import BINDINGS, SHARDS, Parts, parts_of, until

CORES = st.sets(st.integers(0, 255), min_size=1, max_size=64).map(lambda found: tuple(sorted(found)))


@given(cores=CORES, workers=st.integers(1, 80))
def test_workers_get_cores_of_their_own_as_long_as_there_are_enough(
    cores: tuple[int, ...], workers: int
) -> None:
    given_out = shares("cores", workers, cores=cores, nodes={})
    assert len(given_out) == workers
    assert all(share and {*share} <= {*cores} for share in given_out)
    if workers <= len(cores):
        assert sorted(core for share in given_out for core in share) == list(cores)
        sizes = [len(share) for share in given_out]
        assert max(sizes) - min(sizes) <= 1
    else:
        assert all(len(share) == 1 for share in given_out)


def test_workers_go_to_the_memory_nodes_in_turn() -> None:
    nodes = {0: (0, 1, 2, 3), 1: (4, 5, 6, 7), 2: (8, 9)}
    assert shares("numa", 3, cores=(1, 2, 4, 5), nodes=nodes) == [(1, 2), (4, 5), (1, 2)]
    assert shares("numa", 2, cores=(1, 2), nodes={}) == [(1, 2), (1, 2)]
    assert shares("no", 2, cores=(1, 2), nodes=nodes) == [(), ()]


@given(CORES)
def test_lists_of_cores_are_read_as_they_are_written(cores: tuple[int, ...]) -> None:
    assert parse_cores(format_cores(cores)) == cores


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1;2"])
def test_what_is_no_list_of_cores_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no core"):
        parse_cores(text)


def test_memory_nodes_are_read_as_linux_tells_them(tmp_path: Path) -> None:
    for node, cores in (("node0", "0-1\n"), ("node1", "2,4\n"), ("nodes", "9\n")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "cpulist").write_text(cores, encoding="utf-8")
    assert memory_nodes(tmp_path) == {0: (0, 1), 1: (2, 4)}
    assert memory_nodes(tmp_path / "none") == {}


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


@asynccontextmanager
async def supervised(
    parts: Parts, settings: Settings, workers: int, bindings: str = BINDINGS
) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(
        settings.model_copy(update={"shards": SHARDS, "pin": "cores"}),
        parts.services,
        workers={"cpu": workers},
        store=parts.store,
        records=parts.records,
        queues=parts.queues,
        sweeper=parts.sweeper(),
        bindings=bindings,
    )
    tasks = [asyncio.create_task(supervisor.run()), asyncio.create_task(parts.dispatcher({}).run())]
    try:
        yield supervisor
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.slow
async def test_a_pinned_worker_runs_on_its_cores_with_as_many_threads_and_says_so(
    parts: Parts, settings: Settings
) -> None:
    workers = len(own_cores())
    async with supervised(parts, settings, workers) as supervisor:

        async def all_ready() -> bool:
            return len([w for w in await parts.records.workers() if w.state == "idle"]) == workers

        await until(all_ready)
        told = {worker.pid: worker for worker in await parts.records.workers()}
        for slot, pid in supervisor.pids.items():
            process = psutil.Process(pid)
            assert process.cpu_affinity() == list(slot.cores)
            assert all(os.sched_getaffinity(thread.id) == {*slot.cores} for thread in process.threads())
            assert process.environ()["NUMBA_NUM_THREADS"] == str(len(slot.cores))
            assert parse_cores(told[pid].cores) == slot.cores
            assert told[pid].pinned
            assert told[pid].memory_bytes >= told[pid].memory_free_bytes > 0
        assert sorted(core for slot in supervisor.pids for core in slot.cores) == list(own_cores())


async def test_a_job_that_needs_more_memory_than_is_free_waits_until_there_is_room(
    parts: Parts, settings: Settings
) -> None:
    machine = await parts.upload("a.pdf")
    async with supervised(parts, settings, 1, "tests.server.hungry_bindings:bindings"):

        async def left_again() -> bool:
            return int(await parts.redis.get(REFUSED) or 0) >= 2

        await until(left_again)
        assert (await parts.snapshot(machine)).context["work"]["verifying"]["status"] == "queued"
        await parts.redis.set(ROOM, 1)

        async def done() -> bool:
            return await parts.state(machine) == ["duplicate"]

        await until(done)
    assert await parts.redis.llen(RUNS) == 1
