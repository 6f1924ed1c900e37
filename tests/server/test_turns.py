"""Turns of machines: one at a time, in order, whatever is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from server.turns import LONGEST_QUEUE, Turns


async def holding(turns: Turns, order: list[int], number: int) -> None:
    await turns.wait("m")
    try:
        order.append(number)
        await asyncio.sleep(0)
    finally:
        turns.leave("m")


async def test_whoever_came_first_is_first() -> None:
    turns, order = Turns(), list[int]()
    await asyncio.gather(*(holding(turns, order, number) for number in range(20)))
    assert order == list(range(20))
    assert len(turns) == 0


async def test_a_turn_is_not_taken_twice_and_machines_do_not_wait_for_each_other() -> None:
    turns = Turns()
    assert turns.take("m")
    assert not turns.take("m")
    assert turns.take("n")
    turns.leave("m")
    assert turns.take("m")


async def test_those_who_no_longer_wait_are_passed_over() -> None:
    turns, order = Turns(), list[int]()
    assert turns.take("m")
    waiting = [asyncio.create_task(holding(turns, order, number)) for number in range(6)]
    await asyncio.sleep(0)
    for number in (0, 2, 5):
        waiting[number].cancel()
    turns.leave("m")
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert order == [1, 3, 4]
    assert [isinstance(each, asyncio.CancelledError) for each in ended] == [
        True, False, True, False, False, True,
    ]  # fmt: skip
    assert len(turns) == 0


async def test_a_turn_that_comes_with_the_cancellation_is_handed_on() -> None:
    turns, order = Turns(), list[int]()
    assert turns.take("m")
    first, second = (asyncio.create_task(holding(turns, order, number)) for number in range(2))
    await asyncio.sleep(0)
    turns.leave("m")  # now the first one's, which has not run yet
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert order == [1]
    assert len(turns) == 0


async def test_a_machine_is_crowded_when_very_many_wait() -> None:
    turns = Turns()
    assert turns.take("m")
    waiting = [asyncio.create_task(turns.wait("m")) for _ in range(LONGEST_QUEUE)]
    await asyncio.sleep(0)
    assert turns.crowded("m")
    assert not turns.crowded("n")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not turns.crowded("m")
    turns.leave("m")
    assert len(turns) == 0


async def test_a_turn_nobody_has_cannot_be_left() -> None:
    turns = Turns()
    with pytest.raises(KeyError):
        turns.leave("m")
