"""Every level keeps the mean, and each sample weighs the same in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import halved, limit_threads, pyramid

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


def on_host(array):
    return array if isinstance(array, np.ndarray) else array.get()


def area_average(tensor, axis):
    """Average over equal stretches of an axis, sample by sample."""
    length = tensor.shape[axis]
    half = max(1, length // 2)
    weights = np.zeros((half, length))
    for j in range(half):
        for i in range(length):
            begin, end = max(i, j * length / half), min(i + 1, (j + 1) * length / half)
            weights[j, i] = max(0.0, end - begin) * half / length
    return np.moveaxis(np.tensordot(weights, tensor, (1, axis)), 0, axis)


@given(shape=shapes, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_level_is_the_average_over_equal_stretches(xp, shape, seed, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)).map(sorted))
    tensor = np.random.default_rng(seed).standard_normal(shape)
    expected = tensor
    for axis in axes:
        expected = area_average(expected, axis)
    got = halved(xp.asarray(tensor), axes=[axis - len(shape) for axis in axes])
    assert got.flags.c_contiguous
    np.testing.assert_allclose(on_host(got), expected, atol=1e-14)
    np.testing.assert_allclose(on_host(got).mean(), tensor.mean(), atol=1e-13)
    for dtype, tolerance in [("float32", 1e-6), ("float16", 4e-3)]:
        rounded = halved(xp.asarray(tensor, dtype=dtype), axes=axes)
        assert rounded.dtype == dtype
        np.testing.assert_allclose(on_host(rounded), expected, atol=tolerance)


@pytest.mark.parametrize("shape", [(1000, 1001), (1, 3_000_001), (2_000_001,), (7, 500, 601)])
def test_large_tensors_are_averaged_alike_on_any_number_of_threads(shape):
    tensor = np.random.default_rng(1).random(shape)
    axes = range(len(shape))
    found = []
    for threads in (1, 3):
        limit_threads(threads)
        try:
            found.append(halved(tensor, axes=axes))
        finally:
            limit_threads(None)
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0].mean(), tensor.mean(), rtol=1e-12)


@given(shape=shapes, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_levels_halve_until_one_sample_is_left_and_keep_the_mean(xp, shape, seed, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)).map(sorted))
    tensor = xp.asarray(np.random.default_rng(seed).standard_normal(shape))
    stack = pyramid(tensor, axes=axes)
    assert stack.levels[0] is tensor
    for fine, coarse in zip(stack.levels, stack.levels[1:], strict=False):
        assert coarse.shape == tuple(max(1, n // 2) if a in axes else n for a, n in enumerate(fine.shape))
    assert all(stack.levels[-1].shape[axis] == 1 for axis in axes)
    means = [float(level.mean()) for level in stack.levels]
    np.testing.assert_allclose(means, means[0], atol=1e-13)
    assert stack.scale(0) == (1.0,) * len(shape)
    assert stack.scale(-1) == tuple(1 / n if a in axes else 1.0 for a, n in enumerate(shape))
    assert len(pyramid(tensor, axes=axes, levels=2).levels) == min(2, len(stack.levels))


@pytest.mark.parametrize(("length", "off"), [(64, 0), (37, 0.02)])
def test_a_straight_line_stays_one_at_the_places_that_the_scale_gives(length, off):
    line = np.arange(float(length))
    stack = pyramid(line, axes=[0])
    for level, values in enumerate(stack.levels):
        (scale,) = stack.scale(level)
        places = (np.arange(len(values)) + 0.5) / scale - 0.5
        np.testing.assert_allclose(values, places, atol=off / scale)


@pytest.mark.parametrize(
    ("zoom", "level"),
    [
        (5.0, 0),
        (1.0, 0),
        (0.6, 0),
        (0.5, 1),
        (0.3, 1),
        (0.25, 2),
        (1 / 3, 1),
        (0.1, 3),
        (0.03, 3),
        (1e-300, 3),
    ],
)
def test_the_level_for_a_zoom_still_has_a_sample_for_each_point(zoom, level):
    stack = pyramid(np.zeros((8, 9)), axes=[0, 1])
    assert stack.level_for(zoom) == level


def test_neither_the_tensor_nor_its_layout_matters():
    tensor = np.random.default_rng(2).random((6, 7, 10)).T[::-1]
    tensor.flags.writeable = False
    np.testing.assert_array_equal(halved(tensor, axes=[0, 2]), halved(tensor.copy(), axes=[0, 2]))
    same = halved(tensor, axes=[])
    np.testing.assert_array_equal(same, tensor)
    assert same.flags.writeable


def test_large_values_do_not_overflow():
    top = np.finfo(np.float32).max
    np.testing.assert_array_equal(halved(np.full(6, top), axes=[0]), np.full(3, top))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: halved(np.ones(4, dtype=int), axes=[0]), TypeError),
        (lambda: halved(np.ones((4, 0)), axes=[0]), ValueError),
        (lambda: halved(np.ones(4), axes=[1]), ValueError),
        (lambda: halved(np.ones(4), axes=[0, -1]), ValueError),
        (lambda: pyramid(np.ones(4), axes=[0], levels=0), ValueError),
        (lambda: pyramid(np.ones((4, 0)), axes=[0]), ValueError),
        (lambda: pyramid(np.ones(4), axes=[3]), ValueError),
        (lambda: pyramid(np.ones(4), axes=[0]).level_for(0.0), ValueError),
        (lambda: pyramid(np.ones(4), axes=[0]).level_for(float("nan")), ValueError),
        (lambda: pyramid([1.0], axes=[0]), TypeError),
    ],
)
def test_what_makes_no_sense_is_refused(call, error):
    with pytest.raises(error):
        call()
