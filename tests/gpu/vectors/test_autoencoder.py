"""Slopes against finite differences, and what is learnt against what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from gpu import features, reconstructed, strongest, train_autoencoder
from gpu.threads import limit_threads
from gpu.vectors import autoencoder_gradients
from gpu.vectors.autoencoder_gradients import Sparsity, Weights


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def planted(seed, n, d, directions, lit):
    """Sums of a few of many directions, and the directions."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((directions, d))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    codes = np.zeros((n, directions))
    for row in codes:
        row[rng.permutation(directions)[:lit]] = rng.uniform(0.5, 1.5, lit)
    return (codes @ found + 0.3).astype(np.float32), found


def random_weights(seed, f, d, dtype=np.float64):
    rng = np.random.default_rng(seed)
    decoder = rng.standard_normal((f, d))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    found = (decoder + 0.1 * rng.standard_normal((f, d)), 0.1 * rng.standard_normal(f), decoder)
    return Weights(*(each.astype(dtype) for each in (*found, 0.1 * rng.standard_normal(d))))


def explained(vectors, found):
    vectors = vectors.astype(np.float64)
    return 1 - ((vectors - found) ** 2).sum() / ((vectors - vectors.mean(axis=0)) ** 2).sum()


def codes_of(weights, rows, among, k):
    codes = (rows - weights.offset) @ weights.encoder.T + weights.bias
    codes = np.where(among, codes, -np.inf)
    kept = np.sort(codes, axis=1)[:, -k][:, None]
    return np.where(codes >= kept, np.maximum(codes, 0), 0)


@pytest.mark.parametrize("revived", [0, 3])
def test_slopes_are_finite_differences_of_the_loss(revived):
    weights, rows = random_weights(1, 12, 6), np.random.default_rng(2).standard_normal((9, 6))
    dead = np.arange(12) % 2 == 0
    scale = 0.7
    missing = codes_of(weights, rows, np.ones(12, bool), 4) @ weights.decoder + weights.offset - rows

    def loss():
        first = codes_of(weights, rows, np.ones(12, bool), 4) @ weights.decoder + weights.offset - rows
        total = (first**2).sum()
        if revived:  # what is missing of the rows is a constant there
            total += 0.25 * ((codes_of(weights, rows, dead, revived) @ weights.decoder + missing) ** 2).sum()
        return scale * total

    slopes, lit = weights.zeros(), np.zeros(12, bool)
    terms = [(None, 4, scale)] + ([(dead, revived, 0.25 * scale)] if revived else [])
    first = autoencoder_gradients._add_dense(weights, rows, terms, slopes, lit)
    assert float(first) == pytest.approx(scale * (missing**2).sum())
    np.testing.assert_array_equal(lit, (codes_of(weights, rows, np.ones(12, bool), 4) > 0).any(axis=0))
    for array, slope in zip(weights.all(), slopes.all(), strict=True):
        for at in np.ndindex(array.shape):
            before = array[at]
            array[at] = before + 1e-6
            above = loss()
            array[at] = before - 1e-6
            below = loss()
            array[at] = before
            assert slope[at] == pytest.approx((above - below) / 2e-6, abs=1e-5)


@pytest.mark.parametrize(("f", "d", "k", "revived"), [(70, 20, 5, 0), (130, 65, 8, 6), (3, 2, 3, 2)])
def test_sparse_slopes_are_the_dense_ones(xp, f, d, k, revived):
    weights = random_weights(3, f, d, np.float32)
    rows = np.random.default_rng(4).standard_normal((300, d)).astype(np.float32)
    dead = np.arange(f) % 3 == 0
    terms = [(None, k, 0.5)]
    if revived:
        terms.append((dead, min(revived, int(dead.sum())), 0.1))
    dense, dense_lit = weights.zeros(), np.zeros(f, bool)
    expected = autoencoder_gradients._add_dense(weights, rows, terms, dense, dense_lit)
    mine = Weights(*(xp.asarray(each) for each in weights.all()))
    found, lit = mine.zeros(), xp.zeros(f, bool)
    share = 0.1 / 0.5
    sparsity = Sparsity(k, revived, share)
    first = autoencoder_gradients.add_slopes(
        mine, xp.asarray(rows), xp.asarray(dead), sparsity, 0.5, found, lit
    )
    assert float(first) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_array_equal(numpied(lit), dense_lit)
    for one, other in zip(found.all(), dense.all(), strict=True):
        np.testing.assert_allclose(numpied(one), other, rtol=1e-3, atol=2e-3)


def test_planted_directions_are_found_and_explain_more_than_principal_ones(xp):
    vectors, directions = planted(5, 3000, 24, 40, 3)
    trained = train_autoencoder(xp.asarray(vectors), 96, 3, epochs=30, batch=256, rate=3e-3, dead_after=2000)
    indices, values = features(trained.model, xp.asarray(vectors))
    mine = explained(vectors, numpied(reconstructed(trained.model, indices, values)))
    centred = vectors - vectors.mean(axis=0)
    main = np.linalg.svd(centred, full_matrices=False)[2][:3]
    principal = explained(vectors, centred @ main.T @ main + vectors.mean(axis=0))
    assert mine > 0.85
    assert mine > principal + 0.4
    alike = (directions @ numpied(trained.model.decoder).T).max(axis=1)
    assert (alike > 0.9).mean() > 0.85
    np.testing.assert_allclose(np.linalg.norm(numpied(trained.model.decoder), axis=1), 1, rtol=1e-5)
    assert trained.losses[-1] < 0.3 * trained.losses[0]


def test_features_that_large_steps_killed_come_back_and_explain_more():
    vectors, _ = planted(6, 6000, 64, 200, 4)
    options = {"epochs": 12, "batch": 200, "rate": 3e-2, "dead_after": 1200}
    left, revived = (train_autoencoder(vectors, 256, 4, revived=count, **options) for count in (0, 16))
    assert revived.dead < 0.75 * left.dead
    gained = [
        explained(vectors, reconstructed(each.model, *features(each.model, vectors)))
        for each in (left, revived)
    ]
    assert gained[1] > gained[0] + 0.05


def test_little_memory_gives_the_same_but_for_rounding(xp):
    vectors = xp.asarray(planted(7, 500, 16, 24, 2)[0])
    options = {"epochs": 2, "batch": 250, "dead_after": 300, "revived": 4}
    whole = train_autoencoder(vectors, 40, 2, **options)
    pieces = train_autoencoder(vectors, 40, 2, memory_bytes=20_000, **options)
    np.testing.assert_allclose(
        numpied(pieces.model.decoder), numpied(whole.model.decoder), rtol=1e-2, atol=1e-3
    )
    np.testing.assert_allclose(pieces.losses, whole.losses, rtol=1e-4)


def test_equal_seeds_give_equal_bits_on_any_number_of_threads():
    vectors, _ = planted(8, 900, 70, 80, 3)
    one = train_autoencoder(vectors, 90, 3, epochs=2, seed=5)
    other = train_autoencoder(vectors, 90, 3, epochs=2, seed=6)
    try:
        limit_threads(1)
        alone = train_autoencoder(vectors, 90, 3, epochs=2, seed=5)
    finally:
        limit_threads(None)
    for name in ("encoder", "bias", "decoder", "offset"):
        np.testing.assert_array_equal(getattr(one.model, name), getattr(alone.model, name))
    assert one.losses == alone.losses
    assert (one.model.decoder != other.model.decoder).any()


def test_chunks_are_learnt_from_without_being_joined():
    vectors, _ = planted(9, 3000, 16, 24, 2)
    pieces = np.array_split(vectors.astype(np.float16), 4)
    trained = train_autoencoder(lambda: iter(pieces), 32, 2, epochs=12, batch=128, rate=3e-3)
    indices, values = features(trained.model, vectors)
    assert explained(vectors, reconstructed(trained.model, indices, values)) > 0.7


def test_a_model_reads_vectors_in_their_own_units():
    vectors, _ = planted(10, 1500, 16, 24, 2)
    small = train_autoencoder(vectors / 64, 32, 2, epochs=3)
    large = train_autoencoder(vectors, 32, 2, epochs=3)
    np.testing.assert_allclose(small.losses, large.losses, rtol=1e-4)
    indices, values = features(large.model, vectors)
    small_indices, small_values = features(small.model, vectors / 64)
    np.testing.assert_allclose(values, 64 * small_values, rtol=1e-2, atol=1e-3)
    assert (indices == small_indices).mean() > 0.95


def test_features_are_the_largest_and_their_strongest_vectors_are_listed(xp):
    vectors, _ = planted(11, 700, 16, 24, 3)
    model = train_autoencoder(xp.asarray(vectors), 40, 3, epochs=1).model
    codes = (vectors - numpied(model.offset)) @ numpied(model.encoder).T + numpied(model.bias)
    order = np.argsort(-codes, axis=1, kind="stable")[:, :3]
    expected = np.maximum(np.take_along_axis(codes, order, 1), 0)
    indices, values = features(model, xp.asarray(vectors))
    np.testing.assert_allclose(numpied(values), expected, atol=1e-5)
    lit = expected > 1e-4
    np.testing.assert_array_equal(numpied(indices)[lit], order[lit])
    pieces = [xp.asarray(piece) for piece in np.array_split(vectors, 6)]
    places, brightness = strongest(model, lambda: iter(pieces), 5)
    for feature in range(40):
        rows, spots = np.nonzero((numpied(indices) == feature) & (numpied(values) > 0))
        bright = numpied(values)[rows, spots]
        best = np.lexsort((rows, -bright))[:5]
        found = numpied(places)[feature]
        np.testing.assert_array_equal(found[: len(best)], rows[best])
        np.testing.assert_array_equal(numpied(brightness)[feature, : len(best)], bright[best])
        assert (found[len(best) :] == -1).all()


def test_vectors_that_are_all_alike_are_their_offset():
    trained = train_autoencoder(np.full((50, 4), 3.0, np.float32), 8, 2, epochs=2)
    np.testing.assert_allclose(
        reconstructed(trained.model, *features(trained.model, np.full((1, 4), 3.0, np.float32))), 3, rtol=1e-3
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(xp, bad):
    vectors, _ = planted(12, 60, 8, 9, 2)
    model = train_autoencoder(xp.asarray(vectors), 12, 2, epochs=1).model
    vectors[40, 3] = bad
    spoilt = xp.asarray(vectors)
    for call in (lambda: train_autoencoder(spoilt, 12, 2), lambda: features(model, spoilt)):
        with pytest.raises(ValueError, match="finite"):
            call()


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((3, 4), {}),
        ((3, 0), {}),
        ((3, 1), {"batch": 0}),
        ((3, 1), {"rate": 0.0}),
        ((3, 1), {"memory_bytes": 0}),
        ((3, 1), {"revived": -1}),
    ],
)
def test_what_cannot_be_learnt_is_refused(sizes, options):
    with pytest.raises(ValueError, match=r"Expected|range"):
        train_autoencoder(np.ones((4, 2), np.float32), *sizes, **options)


def test_what_a_model_cannot_read_is_refused():
    model = train_autoencoder(planted(13, 60, 8, 9, 2)[0], 12, 2, epochs=1).model
    with pytest.raises(ValueError, match="Expected"):
        features(model, np.ones((2, 7), np.float32))
    with pytest.raises(ValueError, match="count"):
        strongest(model, np.ones((2, 8), np.float32), 0)
