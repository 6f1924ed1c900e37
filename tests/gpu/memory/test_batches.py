"""Batches follow the lease, and shrink where memory runs out."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import Halved, in_batches
from gpu.memory.batches import batch_items


@given(
    count=st.integers(0, 60),
    bytes_each=st.integers(1, 7),
    leased=st.integers(7, 200),
    fits=st.integers(1, 40),
)
def test_every_item_is_worked_on_once_and_in_order(count, bytes_each, leased, fits):
    told, sizes = [], []

    def work(batch):
        assert len(batch) * bytes_each <= leased
        if len(batch) > fits:
            raise MemoryError(f"{len(batch)} are too many")
        sizes.append(len(batch))
        return list(batch)

    found = list(
        in_batches(
            work,
            range(count),
            required_bytes=lambda items: items * bytes_each,
            leased_bytes=leased,
            on_halved=told.append,
        )
    )
    assert list(chain.from_iterable(found)) == list(range(count))
    assert all(halved.next_items == halved.items // 2 for halved in told)
    assert all(halved.problem == f"{halved.items} are too many" for halved in told)
    first = min(count, leased // bytes_each)
    assert bool(told) == (first > fits)
    assert sizes == sorted(sizes, reverse=True)


def test_one_item_that_does_not_fit_alone_is_an_error_that_says_so():
    told = []

    def work(batch):
        raise MemoryError("full")

    with pytest.raises(MemoryError, match="one item alone: full"):
        list(in_batches(work, "abcd", required_bytes=int, leased_bytes=4, on_halved=told.append))
    assert told == [Halved(4, 2, "full"), Halved(2, 1, "full")]


def test_the_arrays_of_a_failed_call_are_let_go_before_the_next_one():
    alive = []

    class Array:
        def __init__(self):
            alive.append(self)

        def __del__(self):
            gone.append(1)

    gone = []

    def work(batch):
        array = Array()
        alive.clear()
        if len(batch) > 1:
            raise MemoryError("full")
        assert gone
        return array is not None

    assert all(in_batches(work, "ab", required_bytes=int, leased_bytes=2, on_halved=lambda _: None))


def test_other_errors_pass():
    def work(batch):
        raise KeyError("other")

    with pytest.raises(KeyError):
        list(in_batches(work, "ab", required_bytes=int, leased_bytes=2, on_halved=lambda _: None))


@given(leased=st.integers(5, 200), most=st.integers(1, 50), sizes=st.lists(st.integers(0, 9), min_size=50))
def test_a_batch_is_the_largest_that_fits(leased, most, sizes):
    def required(items):
        return 5 + sum(sizes[1:items])

    found = batch_items(required, leased, most)
    assert required(found) <= leased
    assert found == most or (found < most and required(found + 1) > leased)


@pytest.mark.parametrize(("leased", "most"), [(4, 3), (0, 1), (5, 0), (5, -1)])
def test_a_lease_that_holds_no_item_is_refused(leased, most):
    with pytest.raises(ValueError, match=r"One item takes|at least one item"):
        batch_items(lambda items: 5 * items, leased, most)
