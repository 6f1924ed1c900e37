"""Leases never exceed the device, are served in order, and end with whoever holds them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import DeadlinePassed, LeaseFault, Leases, NeverFits, device_leases
from gpu.memory.device import main_memory
from gpu.memory.tickets import Board
from tests.gpu.memory.holder import leases_of, shared_sum

BOUND_S = 100.0


def process(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.gpu.memory.holder", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holder(folder, capacity, required, priority=0, does="hold"):
    """A process that holds, or waits for, a lease; told to end at the end of the block."""
    child = process(does, folder, capacity, required, priority)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def wait_until(condition):
    end = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def tickets(folder):
    board = Board(folder / "device")
    while True:
        with board.alone() as alone:
            if alone:
                return list(board.living().values())


@given(required=st.lists(st.integers(0, 12), min_size=1, max_size=12), capacity=st.integers(12, 20))
def test_what_fits_is_lent_at_once_and_the_rest_is_not(tmp_path_factory, required, capacity):
    leases = leases_of(tmp_path_factory.mktemp("leases"), capacity)
    with ExitStack() as held:
        lent = 0
        for each in required:
            assert leases.lendable_bytes() == capacity - lent
            if lent + each <= capacity:
                held.enter_context(leases.lease(each, deadline_s=0))
                lent += each
            else:
                with pytest.raises(DeadlinePassed) as caught, leases.lease(each, deadline_s=0):
                    pass
                assert caught.value.required_bytes == each
                assert caught.value.lendable_bytes == capacity - lent
    assert leases.lendable_bytes() == capacity


def test_a_deadline_that_passes_before_any_look_says_so(tmp_path):
    leases = leases_of(tmp_path, 10)
    with leases.lease(1):
        pass
    folder = os.open(leases._board.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with (
            pytest.raises(DeadlinePassed, match="others were looking") as caught,
            leases.lease(1, deadline_s=0),
        ):
            pass
    finally:
        os.close(folder)
    assert caught.value.lendable_bytes is None


def test_what_is_lent_counts_beside_what_is_measured(tmp_path):
    free = [100]
    leases = Leases("device", lambda: (free[0], 200), folder=tmp_path, reserve_bytes=10)
    with leases.lease(40, deadline_s=0):
        assert leases.lendable_bytes() == 100 - 10 - 40
        free[0] = 60  # the holder has taken what it was lent, or another program has: nobody can tell
        with pytest.raises(DeadlinePassed), leases.lease(11, deadline_s=0):
            pass
        with leases.lease(10, deadline_s=0):
            pass
    assert leases.lendable_bytes() == 50


def test_more_than_the_device_has_is_refused_at_once(tmp_path):
    leases = Leases("device", lambda: (5, 1000), folder=tmp_path)
    message = "951 bytes can never be lent: device lends 950"
    with pytest.raises(NeverFits, match=message) as caught, leases.lease(951):
        pass
    assert (caught.value.required_bytes, caught.value.lendable_bytes) == (951, 950)


@pytest.mark.parametrize(("required", "deadline_s"), [(-1, 1.0), (1, -1.0), (1, float("nan"))])
def test_nonsense_is_refused(tmp_path, required, deadline_s):
    with pytest.raises(ValueError, match="got"):
        leases_of(tmp_path, 10).lease(required, deadline_s=deadline_s)


@pytest.mark.parametrize("device", ["", "a/b", ".."])
def test_a_device_is_named_like_a_file(tmp_path, device):
    with pytest.raises(ValueError, match="called"):
        Leases(device, main_memory, folder=tmp_path)


def test_a_lease_serves_one_block(tmp_path):
    lease = leases_of(tmp_path, 10).lease(1)
    with lease:
        pass
    with pytest.raises(RuntimeError, match="one block"), lease:
        pass


async def test_a_lease_that_is_entered_again_stays_its_block_s(tmp_path):
    leases = leases_of(tmp_path, 10)
    async with leases.lease(6) as lease:
        with pytest.raises(RuntimeError, match="one block"), lease:
            pass
        with pytest.raises(RuntimeError, match="one block"):
            async with lease:
                pass
        assert leases.lendable_bytes() == 4


def test_processes_together_never_hold_more_than_there_is(tmp_path):
    capacity = 1000
    children = [process("contend", tmp_path, capacity, seed, 25) for seed in range(4)]
    seen = []

    def contend():
        for _ in range(25):
            with leases_of(tmp_path, capacity).lease(300, deadline_s=600):
                seen.append(shared_sum(tmp_path / "sum", 300))
                shared_sum(tmp_path / "sum", -300)

    threads = [threading.Thread(target=contend) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * BOUND_S)
    most = [int(child.communicate(timeout=3 * BOUND_S)[0]) for child in children]
    assert len(seen) == 75
    assert 0 < max(most + seen) <= capacity
    assert shared_sum(tmp_path / "sum", 0) == 0
    assert tickets(tmp_path) == []


def test_a_killed_holder_s_memory_is_lent_again(tmp_path):
    with holder(tmp_path, 10, 8) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(DeadlinePassed), leases_of(tmp_path, 10).lease(3, deadline_s=0.05):
            pass
        os.kill(child.pid, signal.SIGKILL)
        with leases_of(tmp_path, 10).lease(3, deadline_s=BOUND_S):
            assert [ticket.required_bytes for ticket in tickets(tmp_path)] == [3]


def test_a_killed_waiter_is_waited_for_no_more(tmp_path):
    leases = leases_of(tmp_path, 10)
    with leases.lease(8), holder(tmp_path, 10, 9, 5) as child:
        wait_until(lambda: len(tickets(tmp_path)) == 2)
        with pytest.raises(DeadlinePassed, match="1 requests came first"), leases.lease(1, deadline_s=1):
            pass
        os.kill(child.pid, signal.SIGKILL)
        with leases.lease(1, deadline_s=BOUND_S):
            pass


def test_a_stopped_waiter_blocks_nobody_after_its_deadline(tmp_path):
    leases = leases_of(tmp_path, 10)
    with leases.lease(8):
        board = Board(tmp_path / "device")
        with board.alone():
            waiting = board.post(9, 5, time.monotonic() + 0.2, board.living())
        with leases.lease(2, deadline_s=BOUND_S):
            assert time.monotonic() >= waiting.ticket.until
        waiting.drop()


def test_a_child_forked_by_a_killed_holder_keeps_no_lease(tmp_path):
    with holder(tmp_path, 10, 8, does="hold_and_fork") as child:
        assert child.stdout.readline() == "held\n"
        grandchild = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        try:
            with leases_of(tmp_path, 10).lease(8, deadline_s=BOUND_S):
                os.kill(grandchild, 0)  # it lives
        finally:
            os.kill(grandchild, signal.SIGKILL)


def test_a_child_forked_while_the_folder_is_locked_holds_up_nobody(tmp_path):
    with holder(tmp_path, 10, 0, does="lock_and_fork") as child:
        grandchild = int(child.stdout.readline())
        try:
            with leases_of(tmp_path, 10).lease(8, deadline_s=BOUND_S):
                os.kill(grandchild, 0)  # it lives
        finally:
            os.kill(grandchild, signal.SIGKILL)


def test_the_larger_priority_is_served_first_then_the_earlier(tmp_path):
    leases, served = leases_of(tmp_path, 10), []

    def ask(priority):
        with leases.lease(10, priority=priority):
            served.append(priority)

    with leases.lease(10):
        threads = []
        for asked, priority in enumerate([1, 0, 2, 1.5, 2.25], start=2):
            threads.append(threading.Thread(target=ask, args=(priority,)))
            threads[-1].start()
            wait_until(lambda asked=asked: len(tickets(tmp_path)) == asked)
    for thread in threads:
        thread.join(BOUND_S)
    assert served == [2, 2.25, 1, 1.5, 0]  # priorities are whole: 2.25 counts as 2, and came later


def test_a_small_request_does_not_overtake_a_large_one(tmp_path):
    leases = leases_of(tmp_path, 10)
    with leases.lease(5), holder(tmp_path, 10, 6) as child:
        wait_until(lambda: len(tickets(tmp_path)) == 2)
        with pytest.raises(DeadlinePassed), leases.lease(5, deadline_s=0.1):
            pass
        with leases.lease(5, priority=1, deadline_s=BOUND_S):
            pass
    assert child.returncode is not None


async def test_a_task_waits_without_holding_up_the_loop(tmp_path):
    leases, turns = leases_of(tmp_path, 10), 0

    async def ask():
        async with leases.lease(5, deadline_s=BOUND_S):
            return True

    async with leases.lease(8):
        asking = asyncio.create_task(ask())
        while len(tickets(tmp_path)) < 2:
            turns += 1
            await asyncio.sleep(0.001)
        assert not asking.done()
    assert await asking
    assert turns
    assert tickets(tmp_path) == []


async def test_a_cancelled_task_leaves_nothing_behind(tmp_path):
    leases = leases_of(tmp_path, 10)

    async def ask():
        async with leases.lease(5):
            raise AssertionError("It was never free.")

    async with leases.lease(8):
        for pause_s in (0, 0, 0.0003, 0.001, 0.003, 0.01, 0.05):
            asking = asyncio.create_task(ask())
            await asyncio.sleep(pause_s)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert len(tickets(tmp_path)) == 1
    async with leases.lease(10, deadline_s=0):
        pass


async def test_a_task_s_deadline_passes(tmp_path):
    leases = leases_of(tmp_path, 10)
    async with leases.lease(8):
        with pytest.raises(DeadlinePassed):
            async with leases.lease(5, deadline_s=0.02):
                pass


@pytest.mark.parametrize("content", [b"", b'{"required_bytes": 3', b"\0" * 40, b'{"required_bytes": 3}'])
def test_what_a_dead_process_left_half_written_is_removed(tmp_path, content):
    leases = leases_of(tmp_path, 10)
    left = tmp_path / "device" / "000000000007.ticket"
    left.write_bytes(content)
    with leases.lease(10, deadline_s=0):
        assert not left.exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"required_bytes": -1}', None])
def test_nothing_is_admitted_beside_a_living_holder_that_cannot_be_read(tmp_path, content):
    leases = leases_of(tmp_path, 10)
    with leases.lease(1):
        path = next((tmp_path / "device").glob("*.ticket"))
        if content is None:
            path.write_bytes(path.read_bytes().replace(b": 1,", b": -1,"))
        else:
            path.write_bytes(content)
        with pytest.raises(LeaseFault, match=path.name), leases.lease(1):
            pass
    with leases.lease(10, deadline_s=0):
        pass


def test_a_holder_whose_file_was_removed_takes_nobody_else_s_along(tmp_path):
    leases, robbed = leases_of(tmp_path, 10), ExitStack()
    robbed.enter_context(leases.lease(1))
    next((tmp_path / "device").glob("*.ticket")).unlink()
    with leases.lease(8):
        robbed.close()
        assert [ticket.required_bytes for ticket in tickets(tmp_path)] == [8]


def test_a_waiter_whose_file_was_removed_asks_anew(tmp_path):
    leases, granted, leave = leases_of(tmp_path, 10), threading.Event(), threading.Event()

    def ask():
        with leases.lease(7, deadline_s=BOUND_S):
            granted.set()
            leave.wait(BOUND_S)

    thread = threading.Thread(target=ask)
    with leases.lease(8):
        thread.start()
        wait_until(lambda: len(tickets(tmp_path)) == 2)
        max((tmp_path / "device").glob("*.ticket")).unlink()
    assert granted.wait(BOUND_S)
    try:
        assert [(ticket.required_bytes, ticket.granted) for ticket in tickets(tmp_path)] == [(7, True)]
    finally:
        leave.set()
        thread.join(BOUND_S)
    assert tickets(tmp_path) == []


def test_a_folder_that_others_can_write_is_refused(tmp_path):
    (tmp_path / "device").mkdir()
    (tmp_path / "device").chmod(0o777)
    with pytest.raises(LeaseFault, match="written by other users"):
        leases_of(tmp_path, 10)


def test_a_link_is_no_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "device").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LeaseFault, match="not a folder"):
        leases_of(tmp_path, 10)


def test_the_machine_s_own_memory_is_lent(tmp_path):
    leases = device_leases("cpu", folder=tmp_path, reserve_bytes=0)
    before = leases.lendable_bytes()
    with leases.lease(before // 2, deadline_s=0):
        assert leases.lendable_bytes() < before - before // 4
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o700]
