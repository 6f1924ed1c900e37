"""A spline through the samples has scipy's coefficients, and passes through the samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from gpu import interpolate, limit_threads, spline_coefficients


def on_host(array):
    return array if isinstance(array, np.ndarray) else array.get()


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_the_coefficients_are_scipy_s(xp, shape, seed, data):
    axes = data.draw(st.sets(st.integers(-len(shape), len(shape) - 1)).map(sorted))
    axes = sorted({axis % len(shape) for axis in axes})
    tensor = np.random.default_rng(seed).standard_normal(shape)
    expected = tensor
    for axis in axes:
        expected = ndimage.spline_filter1d(expected, 3, axis=axis, mode="mirror")
    got = spline_coefficients(xp.asarray(tensor), axes=[axis - len(shape) for axis in axes])
    np.testing.assert_allclose(on_host(got), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "shape", [(63,), (64,), (65,), (66,), (500,), (3, 200, 70), (70, 1, 130), (8, 64, 9, 65)]
)
def test_long_lines_and_many_of_them_are_filtered_alike(xp, shape):
    tensor = np.random.default_rng(1).standard_normal(shape)
    expected = ndimage.spline_filter(tensor, 3, mode="mirror")
    got = spline_coefficients(xp.asarray(tensor))
    np.testing.assert_allclose(on_host(got), expected, rtol=1e-12, atol=1e-12)
    single = spline_coefficients(xp.asarray(tensor, dtype=xp.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(on_host(single), expected, atol=2e-5)


@given(shape=st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple), seed=st.integers(0, 2**32 - 1))
def test_the_spline_passes_through_the_samples(shape, seed):
    tensor = np.random.default_rng(seed).standard_normal(shape)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    got = interpolate(spline_coefficients(tensor), points.astype(float), basis="bspline")
    np.testing.assert_allclose(got, tensor.ravel(), atol=1e-12)


def test_threads_change_no_bit():
    tensor = np.random.default_rng(2).standard_normal((20, 90, 400))
    found = []
    for threads in (1, 2, 5):
        limit_threads(threads)
        try:
            found.append(spline_coefficients(tensor))
        finally:
            limit_threads(None)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_tensor_on_disk_is_filtered_on_disk(tmp_path):
    tensor = np.random.default_rng(3).standard_normal((7, 40, 30))
    np.save(tmp_path / "t.npy", tensor)
    read = np.load(tmp_path / "t.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "c.npy", mode="w+", dtype=np.float64, shape=tensor.shape)
    assert spline_coefficients(read, out=out) is out
    np.testing.assert_array_equal(out, spline_coefficients(tensor))


def test_float32_samples_may_have_float64_coefficients_and_stay_as_they_are():
    tensor = np.random.default_rng(4).standard_normal((9, 8)).astype(np.float32)[::-1, ::2]
    tensor.flags.writeable = False
    before = tensor.copy()
    out = np.empty(tensor.shape)
    spline_coefficients(tensor, out=out)
    np.testing.assert_allclose(out, ndimage.spline_filter(tensor, 3, mode="mirror"), atol=1e-12)
    np.testing.assert_array_equal(tensor, before)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 1)])
def test_where_there_is_nothing_to_filter_the_samples_stay(xp, shape):
    tensor = xp.ones(shape)
    got = spline_coefficients(tensor)
    assert got.shape == shape
    assert bool((got == tensor).all())


SQUARE = np.ones((3, 3))


@pytest.mark.parametrize(
    ("tensor", "options", "error"),
    [
        (SQUARE.astype(int), {}, TypeError),
        (SQUARE, {"axes": [2]}, ValueError),
        (SQUARE, {"axes": [-3]}, ValueError),
        (SQUARE, {"axes": [0, -2]}, ValueError),
        (SQUARE, {"out": np.ones((3, 2))}, ValueError),
        (SQUARE, {"out": np.ones((3, 3), order="F")}, ValueError),
        (SQUARE, {"out": np.ones((3, 3), dtype=np.float16)}, TypeError),
        (SQUARE, {"out": SQUARE}, ValueError),
        (np.ones(()), {"axes": [0]}, ValueError),
    ],
)
def test_what_makes_no_sense_is_refused(tensor, options, error):
    with pytest.raises(error):
        spline_coefficients(tensor, **options)
