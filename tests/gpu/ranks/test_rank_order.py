"""Orders are unmoved by a solver's rounding, and equals stand by id."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import rank_order

LEVELS = st.lists(st.sampled_from([0.0, 0.1, 0.1, 0.25, 0.5]), min_size=1, max_size=12)


@given(levels=LEVELS, data=st.data())
def test_errors_below_the_resolution_do_not_move_the_order(levels, data):
    size = len(levels)
    ids = data.draw(st.permutations(range(size)))
    errors = data.draw(st.lists(st.floats(-1e-12, 1e-12), min_size=size, max_size=size))
    expected = sorted(range(size), key=lambda i: (-levels[i], ids[i]))
    assert rank_order(np.array(levels) + errors, ids, resolution=1e-9).tolist() == expected


def test_no_grid_line_separates_equals():
    # 1.5e-9 lies half way between two multiples of the resolution.
    around = np.array([1.5e-9 - 1e-15, 1.5e-9 + 1e-15])
    assert rank_order(around, ["a", "b"]).tolist() == [0, 1]
    assert rank_order(around, ["b", "a"]).tolist() == [1, 0]


def test_differences_above_the_resolution_count():
    assert rank_order(np.array([0.1, 0.1 + 3e-9]), ["a", "b"]).tolist() == [1, 0]


def test_nothing_can_be_ordered():
    assert rank_order(np.array([]), []).tolist() == []


@pytest.mark.parametrize(
    ("scores", "ids"),
    [([0.1, 0.2], ["a"]), ([0.1, 0.2], ["a", "a"]), ([0.1, np.nan], ["a", "b"])],
)
def test_what_has_no_order_is_refused(scores, ids):
    with pytest.raises(ValueError, match=r"scores|ids"):
        rank_order(np.array(scores), ids)
