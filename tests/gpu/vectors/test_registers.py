"""What registers hold against the same in NumPy, for every length and every float16."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from gpu.vectors import products, registers


@pytest.mark.parametrize("widen", [registers.widen, registers.widen_by_integers])
def test_every_float16_becomes_the_float32_of_the_same_value(widen):
    halves = np.arange(1 << 16, dtype=np.uint16)
    found = np.empty(len(halves), np.float32)

    @numba.njit
    def run(halves, found):
        widen(halves.ctypes.data, found.ctypes.data, len(halves))

    run(halves, found)
    with np.errstate(invalid="ignore"):
        expected = halves.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize("dot", [registers.dot_halves, registers.dot_halves_by_integers])
def test_a_product_is_that_of_numpy_and_the_same_for_both_widths(dot):
    rng = np.random.default_rng(1)

    @numba.njit
    def run(left, right, halves):
        wide = registers.dot_floats(left.ctypes.data, right.ctypes.data, len(left))
        return wide, dot(left.ctypes.data, halves.ctypes.data, len(left))

    for length in range(150):
        left = rng.standard_normal(length).astype(np.float32)
        halves = rng.standard_normal(length).astype(np.float16)
        wide, narrow = run(left, halves.astype(np.float32), halves.view(np.uint16))
        assert wide == narrow
        assert wide == pytest.approx(float(left.astype(np.float64) @ halves.astype(np.float64)), abs=1e-4)


@pytest.mark.parametrize("rows", [1, 5, 6, 13, 96])
@pytest.mark.parametrize(("columns", "length"), [(1, 1), (64, 7), (65, 128), (130, 300)])
def test_blocks_of_products_are_those_of_numpy(rows, columns, length):
    rng = np.random.default_rng(2)
    left = rng.standard_normal((rows, length + 3)).astype(np.float32)[:, 1:-2]
    right = rng.standard_normal((columns, length)).astype(np.float32)
    panels = products.packed(right)
    found = np.full((products.BLOCK_ROWS, len(panels) * registers.COLUMNS), np.nan, np.float32)
    start = np.arange(found.shape[1], dtype=np.float32)
    address = left.__array_interface__["data"][0]
    products.multiply(address, left.strides[0], rows, panels, start, found)
    expected = left @ right.T + start[:columns]
    np.testing.assert_allclose(found[:rows, :columns], expected, rtol=1e-4, atol=1e-4)
    assert (found[:rows, columns:] == start[columns:]).all()
    assert np.isnan(found[rows:]).all()


@pytest.mark.parametrize("count", [0, 16, 48])
def test_the_largest_is_the_first_of_equals_and_never_a_nan(count):
    @numba.njit
    def run(numbers):
        return registers.largest(numbers.ctypes.data, len(numbers))

    rng = np.random.default_rng(3)
    for _ in range(300):
        numbers = rng.integers(-2, 2, count).astype(np.float32)
        numbers[rng.random(count) < 0.2] = np.nan
        numbers[rng.random(count) < 0.2] = -np.inf
        finite = np.isfinite(numbers)
        expected = np.flatnonzero(finite)[np.argmax(numbers[finite])] if finite.any() else -1
        assert run(numbers) == expected
