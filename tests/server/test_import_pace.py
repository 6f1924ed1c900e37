"""Time left: near what it takes where work goes evenly, and a range that says how sure that is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.import_files import FileState
from machines.importing_events import Pace
from server.import_pace import Sample, pace_of, sample
from storage.imports import Counted

TAKES = {"txt": 0.1, "eml": 0.3, "pdf": 2.0}
"""Seconds of work for a file of each kind."""


def counted(
    state: FileState, kind: str, files: int, *, busy_s: float = 0.0, busy_s2: float = 0.0, size: int = 100
) -> Counted:
    return Counted(state, kind, files, 0, files * size, 0, busy_s, busy_s2)


def course(order: Sequence[str], workers: int) -> list[list[Counted]]:
    """The counts each second while workers do these files in their order."""
    ready, left = Counter[str](), Counter(order)
    looks: list[list[Counted]] = []
    at = 0.0
    for kind in order:
        while at + TAKES[kind] / workers > len(looks):
            looks.append(
                [
                    counted("ready", k, n, busy_s=n * TAKES[k], busy_s2=n * TAKES[k] ** 2)
                    for k, n in ready.items()
                ]
                + [counted("queued", k, n) for k, n in left.items() if n]
            )
        at += TAKES[kind] / workers
        ready[kind] += 1
        left[kind] -= 1
    looks.append([counted("ready", k, n, busy_s=n * TAKES[k]) for k, n in ready.items()])
    return looks


def paced(looks: Sequence[list[Counted]]) -> Pace:
    samples = [sample(counts, float(at)) for at, counts in enumerate(looks)][-120:]
    return pace_of(looks[-1], samples)


def test_nothing_is_said_before_something_was_seen() -> None:
    looks = course(["txt"] * 500, workers=2)
    assert paced(looks[:1]) == Pace()
    assert paced(looks[:3]).work is None
    assert paced([[counted("queued", "txt", 50)]] * 30).work is None


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_kinds_that_come_in_turn_are_told_by_what_each_takes(part: float) -> None:
    # The dear ones come last: whoever counts files alone would say a tenth of what it takes.
    order = ["txt"] * 500 + ["eml"] * 100 + ["pdf"] * 20
    seen = order[:12] + order[500:512] + order[-12:]
    looks = course(seen + [k for k in order if k == "txt"] + ["eml"] * 88 + ["pdf"] * 60, workers=2)
    now = int(len(looks) * part)
    told, real = paced(looks[:now]).work, len(looks) - 1 - now
    assert told is not None
    assert told.likely == pytest.approx(real, rel=0.1, abs=2)
    assert told.low <= real <= told.high


def test_the_range_is_wider_where_kinds_are_left_of_which_none_was_seen() -> None:
    known = course(["txt"] * 400, workers=2)[:12]
    unknown = [[*counts, counted("queued", "mov", 100)] for counts in known]
    sure, unsure = paced(known).work, paced(unknown).work
    assert sure is not None
    assert unsure is not None
    assert unsure.high / unsure.likely > sure.high / sure.likely


def test_work_that_stops_makes_the_time_left_grow_instead_of_standing_still() -> None:
    looks = course(["txt"] * 1000, workers=2)[:20]
    stuck = [paced([*looks, *[looks[-1]] * more]).work for more in (0, 10, 30, 100)]
    likely = [left.likely if left else None for left in stuck]
    assert likely == sorted(likely, key=lambda s: s or 0)
    assert paced([*looks, *[looks[-1]] * 130]).work is None


def test_a_transfer_that_has_stopped_is_not_guessed_at() -> None:
    counts = [counted("waiting", "txt", 50), counted("ready", "txt", 50, busy_s=5.0)]
    assert paced([counts] * 10).transfer is None
    assert paced([counts] * 10).work is None


def test_the_transfer_is_told_by_bytes_and_by_files() -> None:
    looks = [
        [counted("waiting", "txt", 100 - 2 * n, size=1000), counted("received", "txt", 2 * n, size=1000)]
        for n in range(21)
    ]
    told = paced(looks).transfer
    assert told is not None
    assert told.likely == pytest.approx(30, rel=0.05)
    assert paced(looks).bytes_s == pytest.approx(2000)


def test_it_is_over_when_everything_rests() -> None:
    looks = course(["txt"] * 100, workers=2)
    told = paced(looks)
    assert told.work is not None
    assert (told.work.low, told.work.high) == (0.0, 0.0)


states = st.sampled_from(["waiting", "received", "queued", "working", "ready", "failed", "duplicate"])
anything = st.lists(
    st.builds(
        Counted,
        states,
        st.sampled_from(list(TAKES)),
        st.integers(0, 50),
        st.just(0),
        st.integers(0, 10**9),
        st.just(0),
        st.just(0.0) | st.floats(1e-6, 1e4),
        st.floats(0, 1e6),
    ),
    max_size=8,
)


@given(st.lists(anything, min_size=1, max_size=5), st.floats(0.01, 100))
def test_whatever_is_counted_the_range_holds_together(looks: list[list[Counted]], every_s: float) -> None:
    samples: list[Sample] = [sample(counts, n * every_s) for n, counts in enumerate(looks)]
    told = pace_of(looks[-1], samples)
    for left in (told.transfer, told.work):
        assert left is None or 0 <= left.low <= left.likely <= left.high


def test_seconds_that_are_left_of_no_file_at_all_are_not_divided_by_it() -> None:
    looks = course(["txt"] * 500, workers=2)[:20]
    left_over = [[*counts, counted("failed", "eml", 0, busy_s=1e-9)] for counts in looks]
    assert paced(left_over) == paced(looks)


def test_uneven_work_is_within_the_range_most_of_the_time() -> None:
    chance, within, tries = random.Random(4), 0, 0
    for _ in range(6):
        order = chance.choices(list(TAKES), [80, 15, 5], k=3000)
        looks = course(order, workers=2)
        for part in (0.1, 0.5, 0.9):
            now = int(len(looks) * part)
            left, real = paced(looks[:now]).work, len(looks) - 1 - now
            tries += 1
            within += left is not None and left.low <= real <= left.high
    assert within / tries > 0.85
