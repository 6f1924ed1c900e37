"""Work beside a server ends before the server does."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patience import PATIENCE_S
from tests.server.beside import beside
from tests.server.live import TRUSTED, Live


async def test_what_takes_too_long_has_ended_when_that_is_told(live: Live) -> None:
    ended = Event()

    def work(look: Callable[[], None]) -> None:
        try:
            while True:
                look()
                httpx.get(f"{live.url}/healthz", timeout=PATIENCE_S, verify=TRUSTED).raise_for_status()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await beside(work, within_s=0.5)
    assert ended.is_set()


async def test_no_strategy_takes_the_end_for_a_failure_and_tries_again() -> None:
    tried = []

    def work(look: Callable[[], None]) -> None:
        @settings(deadline=None, database=None)
        @given(st.integers())
        def ask(number: int) -> None:
            tried.append(number)
            while True:
                look()
                time.sleep(0.01)

        ask()

    within_s = 0.2
    while not tried:  # a busy machine may not have begun by then
        with pytest.raises(TimeoutError):
            await beside(work, within_s=within_s)
        within_s *= 3
    assert len(tried) == 1


async def test_results_and_failures_are_those_of_the_work() -> None:
    assert await beside(lambda look: 7, within_s=PATIENCE_S) == 7
    with pytest.raises(ZeroDivisionError):
        await beside(lambda look: 1 // 0, within_s=PATIENCE_S)
