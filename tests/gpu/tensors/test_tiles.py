"""Tiles cover the tensor once, and what is computed in them is what is computed without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import interpolate, interpolate_tiled, map_tiles, tiles

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


@given(shape=shapes, data=st.data())
def test_the_cores_cover_the_tensor_once_and_the_halos_are_around_them(shape, data):
    tile_shape = data.draw(st.tuples(*[st.integers(1, 10)] * len(shape)))
    halo = data.draw(st.tuples(*[st.integers(0, 4)] * len(shape)))
    covered = np.zeros(shape, dtype=int)
    places = np.arange(covered.size).reshape(shape)
    for tile in tiles(shape, tile_shape, halo):
        covered[tile.core] += 1
        np.testing.assert_array_equal(places[tile.padded][tile.inside], places[tile.core])
        for core, padded, around, length in zip(tile.core, tile.padded, halo, shape, strict=True):
            assert padded.start == max(0, core.start - around)
            assert padded.stop == min(length, core.stop + around)
        assert places[tile.padded].ravel()[0] == np.ravel_multi_index(tile.origin, shape)
    assert (covered == 1).all()


@given(
    shape=shapes,
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
    basis=st.sampled_from(["keys", "bspline"]),
    mode=st.sampled_from(["mirror", "nearest", "constant"]),
    dtype=st.sampled_from(["float32", "float64"]),
    halo=st.integers(3, 5),
)
def test_interpolation_in_tiles_gives_the_same_bits(xp, shape, data, seed, basis, mode, dtype, halo):
    tile_shape = data.draw(st.tuples(*[st.integers(1, 10)] * len(shape)))
    linear_axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(shape).astype(dtype)
    points = xp.asarray(rng.uniform(-1.2, 2.2, (40, len(shape))) * shape)
    options = {"basis": basis, "mode": mode, "linear_axes": linear_axes, "outside": 0.5}
    expected = interpolate(xp.asarray(samples), points, **options)
    got = interpolate_tiled(samples, points, tile_shape=tile_shape, halo=halo, **options)
    assert type(got) is type(expected)
    assert bool((got == expected).all())


def test_a_tensor_on_disk_is_read_tile_by_tile(tmp_path):
    samples = np.lib.format.open_memmap(
        tmp_path / "t.npy", mode="w+", dtype=np.float32, shape=(5, 20, 21, 22)
    )
    rng = np.random.default_rng(1)
    samples[...] = rng.standard_normal(samples.shape)
    samples = np.load(tmp_path / "t.npy", mmap_mode="r")
    points = rng.random((50_000, 4)) * (np.array(samples.shape) - 1)
    got = interpolate_tiled(samples, points, tile_shape=(5, 8, 8, 22), linear_axes=(0,))
    np.testing.assert_array_equal(got, interpolate(np.array(samples), points, linear_axes=(0,)))


@given(shape=shapes, data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_stitched_results_are_those_of_the_whole(shape, data, seed):
    tile_shape = data.draw(st.tuples(*[st.integers(1, 10)] * len(shape)))
    tensor = np.random.default_rng(seed).standard_normal(shape)

    def neighbours(part):  # a sample and the one before it, which is itself at the edge
        return part + part[np.maximum(np.arange(part.shape[0]) - 1, 0)]

    out = np.empty(shape)
    halo = (1,) + (0,) * (len(shape) - 1)
    map_tiles(neighbours, tensor, out, tile_shape=tile_shape, halo=halo)
    np.testing.assert_array_equal(out, neighbours(tensor))


@pytest.mark.parametrize(("tile_shape", "halo"), [((0, 1), 0), ((1, 1), -1), ((1,), 0), ((1, 1), (1, 1, 1))])
def test_nonsense_tiles_are_refused(tile_shape, halo):
    with pytest.raises(ValueError, match=r"got|needed"):
        tiles((4, 4), tile_shape, halo)


def test_work_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="shape"):
        map_tiles(lambda part: part[:1], np.ones((4, 4)), np.ones((4, 4)), tile_shape=(2, 2))
    with pytest.raises(ValueError, match="shape"):
        map_tiles(lambda part: part, np.ones((4, 4)), np.ones((4, 3)), tile_shape=(2, 2))


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (np.ones((1, 2)), {"halo": 2}, "halo of 3"),
        (np.full((1, 2), np.nan), {}, "finite"),
        (np.ones((0, 2)), {"basis": "hat"}, "hat"),
        (np.ones((0, 3)), {}, "shape"),
    ],
)
def test_what_makes_no_sense_is_refused(points, options, message):
    with pytest.raises(ValueError, match=message):
        interpolate_tiled(np.ones((4, 4)), points, tile_shape=(2, 2), **options)
