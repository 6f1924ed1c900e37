"""Parts of one call run side by side, whatever the number of threads, and an error is told."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from gpu import threads


@pytest.fixture(params=[1, 2, 5])
def limited(request):
    threads.limit_threads(request.param)
    yield request.param
    threads.limit_threads(None)


def test_results_stand_in_the_order_of_the_parts(limited):
    assert threads.side_by_side(lambda part: part * part, range(50)) == [part * part for part in range(50)]


def test_no_more_threads_take_part_than_allowed(limited):
    seen = set()
    meeting = threading.Barrier(limited)

    def work(_):
        seen.add(threading.get_ident())
        meeting.wait(100)

    threads.side_by_side(work, range(limited))
    assert len(seen) == limited


def test_an_error_of_a_part_is_raised_once_all_begun_have_ended(limited):
    running = []

    def work(part):
        running.append(part)
        if part == 3:
            raise ZeroDivisionError
        running.remove(part)

    with pytest.raises(ZeroDivisionError):
        threads.side_by_side(work, range(10))
    assert running == [3]


def test_a_limit_that_another_thread_sets_meanwhile_is_for_later_calls(limited):
    class Parts(list):
        def __len__(self):
            threads.limit_threads(1)
            return super().__len__()

    assert threads.side_by_side(lambda part: -part, Parts([1, 2, 3])) == [-1, -2, -3]


FORKED = """
import os, signal
from gpu import threads
threads.limit_threads(3)
threads.side_by_side(abs, [1, 2, 3])
with threads._lock:  # as another thread has it that asks for the pool
    child = os.fork()
    if not child:
        signal.alarm(10)
        print(threads.side_by_side(abs, [-1, -2, -3]), flush=True)
        os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1])
"""


def test_a_forked_process_has_threads_of_its_own():
    run = [sys.executable, "-c", FORKED]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[1, 2, 3]\n"


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="At least one thread"):
        threads.limit_threads(0)
