"""The batch map against its rule written out, vector by vector."""

from __future__ import annotations

import numpy as np
import pytest

from gpu import fit_map, map_errors
from gpu.vectors.chunks import ROUND_ROWS
from gpu.vectors.maps import grid_places


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def spread(seed, n, d):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 3)) @ rng.standard_normal((3, d)) + rng.random((n, d))).astype(np.float32)


def by_the_rule(vectors, units, places, radii):
    vectors, units = vectors.astype(np.float64), units.astype(np.float64)
    for radius in radii:
        best = ((vectors[:, None] - units) ** 2).sum(axis=2).argmin(axis=1)
        squares = ((places[:, None] - places[best]) ** 2).sum(axis=2)
        weights = np.exp(-squares / (2 * radius * radius))
        units = weights @ vectors / weights.sum(axis=1, keepdims=True)
    return units


@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_units_are_the_weighted_means_of_all_vectors(xp, grid, dtype):
    vectors = spread(1, 400, 11).astype(dtype)
    start = vectors[:20].astype(np.float32)
    radii = [2.0, 1.3, 0.7]
    found = fit_map(xp.asarray(vectors), (4, 5), radii=radii, grid=grid, start=xp.asarray(start))
    expected = by_the_rule(vectors, start, grid_places((4, 5), grid), radii)
    np.testing.assert_allclose(numpied(found.units), expected, atol=2e-4)


@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
def test_errors_are_those_counted_one_by_one(xp, grid):
    vectors = spread(2, 300, 7)
    fitted = fit_map(xp.asarray(vectors), (3, 6), radii=[1.0], grid=grid)
    errors = map_errors(xp.asarray(vectors), fitted)
    distances = np.linalg.norm(vectors[:, None].astype(np.float64) - numpied(fitted.units), axis=2)
    order = distances.argsort(axis=1)
    reach = 1.5 if grid == "rectangular" else 1.05
    places = fitted.places
    torn = np.linalg.norm(places[order[:, 0]] - places[order[:, 1]], axis=1) > reach
    np.testing.assert_array_equal(numpied(errors.best), order[:, 0])
    assert errors.quantisation == pytest.approx(distances.min(axis=1).mean(), rel=1e-5)
    assert errors.topographic == pytest.approx(torn.mean())


def test_a_unit_of_a_hexagonal_grid_has_six_neighbours_and_of_a_rectangular_one_eight():
    for grid, reach, expected in (("hexagonal", 1.05, 6), ("rectangular", 1.5, 8)):
        places = grid_places((7, 7), grid)
        apart = np.linalg.norm(places - places[3 * 7 + 3], axis=1)
        assert ((apart > 0) & (apart < reach)).sum() == expected
        assert sorted(apart)[1] == pytest.approx(1)


def test_training_unfolds_a_plane_better_than_its_start(xp):
    rng = np.random.default_rng(3)
    plane = rng.random((3000, 2))
    vectors = (np.c_[plane, 0.3 * np.sin(3 * plane)] @ rng.standard_normal((4, 20))).astype(np.float32)
    vectors = xp.asarray(vectors)
    before = map_errors(vectors, fit_map(vectors, (8, 8), radii=[]))
    after = map_errors(vectors, fit_map(vectors, (8, 8)))
    assert after.quantisation < 0.8 * before.quantisation
    assert after.topographic < 0.05


def test_chunks_give_the_bits_of_one_array():
    vectors = spread(4, ROUND_ROWS + 777, 5)
    pieces = np.array_split(vectors, 5)
    whole = fit_map(vectors, (5, 4), radii=[2.0, 1.0])
    split = fit_map(lambda: iter(pieces), (5, 4), radii=[2.0, 1.0])
    np.testing.assert_array_equal(whole.units, split.units)
    one, other = map_errors(vectors, whole), map_errors(lambda: iter(pieces), whole)
    np.testing.assert_array_equal(one.best, other.best)
    assert one.topographic == other.topographic
    assert one.quantisation == pytest.approx(other.quantisation, rel=1e-12)


def test_a_unit_out_of_reach_of_all_vectors_stays():
    vectors = np.zeros((4, 2), np.float32)
    start = np.array([[0, 0], [5, 5], [6, 6]], np.float32)
    units = fit_map(vectors, (1, 3), radii=[0.01], start=start).units
    assert units.tolist() == start.tolist()


def test_a_single_unit_is_the_mean_and_is_never_torn():
    vectors = spread(5, 50, 3)
    fitted = fit_map(vectors, (1, 1))
    np.testing.assert_allclose(fitted.units[0], vectors.mean(axis=0), rtol=1e-4, atol=1e-5)
    assert map_errors(vectors, fitted).topographic == 0


def test_vectors_of_one_dimension_lie_along_the_longer_side():
    fitted = fit_map(np.arange(50, dtype=np.float32)[:, None], (2, 5))
    columns = fitted.units[:, 0].reshape(2, 5)
    assert (np.diff(columns, axis=1) > 0).all() or (np.diff(columns, axis=1) < 0).all()


@pytest.mark.parametrize(
    ("shape", "options", "error"),
    [
        ((0, 3), {}, ValueError),
        ((2, 2), {"radii": [1.0, 0.0]}, ValueError),
        ((2, 2), {"radii": [np.inf]}, ValueError),
        ((2, 2), {"grid": "round"}, ValueError),
        ((2, 2), {"start": np.ones((3, 2), np.float32)}, ValueError),
    ],
)
def test_what_makes_no_map_is_refused(shape, options, error):
    with pytest.raises(error):
        fit_map(np.ones((5, 2), np.float32), shape, **options)


def test_numbers_that_are_not_finite_are_refused(xp):
    vectors = spread(6, 40, 4)
    fitted = fit_map(xp.asarray(vectors), (2, 2), radii=[1.0])
    vectors[3, 1] = np.nan
    for call in (
        lambda: fit_map(xp.asarray(vectors), (2, 2)),
        lambda: fit_map(xp.asarray(vectors[4:]), (2, 2), start=xp.asarray(vectors[:4])),
        lambda: map_errors(xp.asarray(vectors), fitted),
    ):
        with pytest.raises(ValueError, match="finite"):
            call()


def test_no_vectors_have_no_errors():
    fitted = fit_map(spread(6, 40, 4), (2, 2), radii=[1.0])
    with pytest.raises(ValueError, match="no vectors"):
        map_errors(np.empty((0, 4), np.float32), fitted)
