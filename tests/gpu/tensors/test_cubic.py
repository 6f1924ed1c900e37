"""Between its samples a tensor has the values that the formulas give, and outside those of the mode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from gpu import interpolate, limit_threads
from gpu.tensors import cubic
from tests.gpu.tensors import oracles


def on_host(array):
    return array if isinstance(array, np.ndarray) else array.get()


def points_around(rng, shape, count):
    """Points inside, outside, on samples and on the edges."""
    lengths = np.array(shape)
    points = rng.uniform(-1.5, 1.5, (count, len(shape))) * lengths + lengths / 2
    whole = rng.random(points.shape) < 0.2
    return np.where(whole, np.round(points), points)


shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)
modes = st.sampled_from(["mirror", "nearest", "constant"])
bases = st.sampled_from(["keys", "bspline"])


@given(shape=shapes, seed=st.integers(0, 2**32 - 1), basis=bases, mode=modes, data=st.data())
def test_every_value_is_the_weighted_sum_of_its_neighbours(xp, shape, seed, basis, mode, data):
    linear_axes = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    rng = np.random.default_rng(seed)
    samples, points = rng.standard_normal(shape), points_around(rng, shape, 6)
    expected = [oracles.value_at(samples, p, basis, linear_axes, mode, -7.0) for p in points]
    options = {"basis": basis, "mode": mode, "outside": -7.0, "linear_axes": tuple(linear_axes)}
    got = interpolate(xp.asarray(samples), xp.asarray(points), **options)
    assert type(got).__module__.startswith(xp.__name__)
    np.testing.assert_allclose(on_host(got), expected, atol=1e-12)
    single = interpolate(xp.asarray(samples, dtype=xp.float32), xp.asarray(points), **options)
    assert single.dtype == np.float32
    np.testing.assert_allclose(on_host(single), expected, atol=2e-5)


@pytest.mark.parametrize("mode", ["mirror", "nearest", "constant"])
@pytest.mark.parametrize("shape", [(30,), (9, 7), (2, 5, 6), (4, 5, 6, 7), (1, 3, 1, 2), (8, 9, 40, 33)])
def test_b_splines_have_scipy_s_values(xp, shape, mode):
    rng = np.random.default_rng(1)
    coefficients = rng.standard_normal(shape)
    points = points_around(rng, shape, 20_000)
    expected = ndimage.map_coordinates(coefficients, points.T, order=3, mode=mode, cval=0.25, prefilter=False)
    got = interpolate(xp.asarray(coefficients), xp.asarray(points), basis="bspline", mode=mode, outside=0.25)
    np.testing.assert_allclose(on_host(got), expected, atol=1e-12)


def test_keys_passes_through_the_samples(xp):
    samples = np.random.default_rng(2).standard_normal((4, 5, 3, 7)).astype(np.float32)
    points = np.stack(np.meshgrid(*map(np.arange, samples.shape), indexing="ij"), -1).reshape(-1, 4)
    got = interpolate(xp.asarray(samples), xp.asarray(points, dtype=xp.float32))
    np.testing.assert_array_equal(on_host(got), samples.ravel())


@given(seed=st.integers(0, 2**32 - 1))
def test_keys_reproduces_parabolas(seed):
    a, b, c = np.random.default_rng(seed).standard_normal(3)
    at = np.arange(12.0)
    points = np.linspace(1, 10, 37)[:, None]
    got = interpolate(a * at**2 + b * at + c, points)
    np.testing.assert_allclose(got, (a * points**2 + b * points + c)[:, 0], atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("basis", ["keys", "bspline"])
@pytest.mark.parametrize("linear_axes", [(), (0,), (3,), (0, 1, 2, 3)])
def test_a_value_does_not_depend_on_the_other_points(monkeypatch, dtype, basis, linear_axes):
    """Sorted or not, on one thread or several, alone or among many: the same bits."""
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((6, 17, 19, 23)).astype(dtype)
    points = points_around(rng, samples.shape, 30_000)
    options = {"basis": basis, "mode": "mirror", "linear_axes": linear_axes}
    monkeypatch.setattr(cubic, "_NEAR_BYTES", 0)
    found = []
    for many, threads, cell_bytes in [(1 << 40, 1, 4000), (0, 1, 4000), (0, 2, 40_000), (0, 2, 1 << 30)]:
        monkeypatch.setattr(cubic, "_MANY_POINTS", many)
        monkeypatch.setattr(cubic, "_CELL_BYTES", cell_bytes)
        limit_threads(threads)
        try:
            found.append(interpolate(samples, points, **options))
        finally:
            limit_threads(None)
    found.append(np.concatenate([interpolate(samples, one, **options) for one in np.split(points, 100)]))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize(
    "layout", ["reversed", "strided", "transposed", "read-only", "misaligned", "swapped"]
)
def test_any_memory_layout_is_read_and_left_alone(layout):
    rng = np.random.default_rng(4)
    plain = rng.standard_normal((5, 6, 7))
    if layout == "misaligned":
        samples = np.frombuffer(b"\0" + plain.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(5, 6, 7)
    else:
        samples = {
            "reversed": plain[::-1, :, ::-1],
            "strided": np.repeat(plain, 2, axis=2)[..., ::2],
            "transposed": plain.T,
            "read-only": plain,
            "swapped": plain.astype(plain.dtype.newbyteorder()),
        }[layout]
    samples.flags.writeable = False
    points = points_around(rng, samples.shape, 50)
    points.flags.writeable = False
    before = samples.copy(), points.copy()
    got = interpolate(samples, points)
    np.testing.assert_array_equal(got, interpolate(np.ascontiguousarray(samples), points.copy()))
    np.testing.assert_array_equal(got, interpolate(samples, np.asfortranarray(points)))
    np.testing.assert_array_equal(samples, before[0])
    np.testing.assert_array_equal(points, before[1])


def test_no_points_have_no_values(xp):
    got = interpolate(xp.ones((2, 3), dtype=xp.float32), xp.empty((0, 2)))
    assert (got.shape, got.dtype) == ((0,), np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [1, 40_000])
def test_points_that_are_not_finite_are_refused(xp, monkeypatch, bad, count):
    monkeypatch.setattr(cubic, "_NEAR_BYTES", 0)
    points = np.random.default_rng(5).random((count, 2)) * 3
    points[count // 2, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        interpolate(xp.ones((4, 4)), xp.asarray(points), mode="constant")


def test_far_points_are_reflected_as_often_as_needed():
    samples = np.random.default_rng(6).standard_normal(9)
    near = np.linspace(-8, 8, 50)[:, None]
    expected = interpolate(samples, near)
    np.testing.assert_allclose(interpolate(samples, near + 16 * 10**6), expected, atol=1e-7)
    assert np.isfinite(interpolate(samples, np.array([[1e300], [-1e300]]))).all()


@pytest.mark.parametrize(
    ("samples", "points", "options", "error"),
    [
        (np.ones((2, 2), dtype=int), np.ones((1, 2)), {}, TypeError),
        (np.ones((2, 2)), np.ones((1, 2), dtype=int), {}, TypeError),
        (np.ones((2, 2)), np.ones((1, 3)), {}, ValueError),
        (np.ones((2, 2)), np.ones(2), {}, ValueError),
        (np.ones((2, 0)), np.ones((1, 2)), {}, ValueError),
        (np.ones(()), np.ones((1, 0)), {}, ValueError),
        (np.ones((1,) * 5), np.ones((1, 5)), {}, ValueError),
        (np.ones((2, 2)), np.ones((1, 2)), {"basis": "hat"}, ValueError),
        (np.ones((2, 2)), np.ones((1, 2)), {"mode": "wrap"}, ValueError),
        (np.ones((2, 2)), np.ones((1, 2)), {"linear_axes": (2,)}, ValueError),
        (np.ones((2, 2)), np.ones((1, 2)), {"linear_axes": (-3,)}, ValueError),
        ([1.0, 2.0], np.ones((1, 1)), {}, TypeError),
    ],
)
def test_what_makes_no_sense_is_refused(samples, points, options, error):
    with pytest.raises(error):
        interpolate(samples, points, **options)
