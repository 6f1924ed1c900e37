"""Products in register tiles against float64, to the bit where bits are promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.text.tiles import COLUMNS, ROWS, as_floats, cut, multiply, widen


def product(left, matrix, bias):
    panels = cut(matrix, matrix.dtype)
    stored = panels.view(np.uint16) if matrix.dtype == np.float16 else panels
    filled = np.concatenate([bias, np.zeros(len(panels) * COLUMNS - len(bias), np.float32)])
    out = np.full((len(left), len(filled)), np.nan, np.float32)
    multiply(left, stored, filled, out)
    assert not out[:, len(bias) :].any()
    return out[:, : len(bias)]


@settings(max_examples=60)
@given(
    rows=st.integers(0, 3 * ROWS),
    depth=st.integers(1, 60),
    columns=st.integers(1, 3 * COLUMNS),
    dtype=st.sampled_from([np.float32, np.float16]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_product_is_exact_to_its_rounding(rows, depth, columns, dtype, seed):
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(rows, depth + seed % 3)).astype(np.float32)
    matrix, bias = (
        rng.normal(size=(depth, columns)).astype(dtype),
        rng.normal(size=columns).astype(np.float32),
    )
    exact = left[:, :depth].astype(np.float64) @ matrix.astype(np.float64) + bias
    bound = np.abs(left[:, :depth]) @ np.abs(matrix).astype(np.float32) + np.abs(bias)
    assert (np.abs(product(left, matrix, bias) - exact) <= 1e-7 * (depth + 2) * bound).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_a_row_has_the_same_bits_whatever_rows_are_beside_it(seed):
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(ROWS + 9, 70)).astype(np.float32)
    matrix, bias = rng.normal(size=(70, 40)).astype(np.float32), np.ones(40, np.float32)
    together = product(left, matrix, bias)
    first, last = sorted(rng.integers(0, len(left) + 1, 2))
    np.testing.assert_array_equal(product(left[first:last], matrix, bias), together[first:last])


def test_every_finite_float16_is_widened_exactly():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    wide = np.empty(len(halves), np.float32)
    widen(halves.view(np.uint16), 0, len(halves), wide)
    np.testing.assert_array_equal(wide.view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_reading_stored_numbers_belongs_to_compiled_code():
    with pytest.raises(NotImplementedError):
        as_floats(np.zeros(1, np.float32), 0, 1, np.zeros(1, np.float32))
