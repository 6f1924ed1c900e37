"""The forward pass against an independent runtime and against straight algebra on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu import BertWeights, encode, encode_packed, plan
from gpu.text import encoder_cpu
from gpu.threads import limit_threads
from tests.gpu.text.checkpoints import (
    LONGEST,
    VOCABULARY,
    bert_tensors,
    bert_vector,
    nomic_tensors,
    nomic_vector,
)

LAYERS, HEADS, WIDTH = 2, 3, 24
TENSORS, NOMIC = bert_tensors(), nomic_tensors()
WEIGHTS = BertWeights.from_tensors(TENSORS, layers=LAYERS, heads=HEADS)
TEXTS = st.lists(st.integers(1, LONGEST), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", params=[False, True], ids=["parts", "fused"])
def runtime(request):
    pytest.importorskip("onnxruntime")
    from tests.gpu.text.bert_onnx import bert_session

    return bert_session(TENSORS, layers=LAYERS, heads=HEADS, threads=1, fused=request.param)


def on_device(xp, tensors):
    return {name: xp.asarray(tensor) for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def weights(xp):
    return BertWeights.from_tensors(on_device(xp, TENSORS), layers=LAYERS, heads=HEADS)


def host(array):
    return array if isinstance(array, np.ndarray) else array.get()


def padded(lengths, seed):
    """Random texts of the given lengths, with noise where they are padded."""
    shape = (len(lengths), max(lengths))
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, shape)
    return ids, np.arange(shape[1]) < np.array(lengths)[:, None]


@settings(max_examples=50)
@given(lengths=TEXTS, seed=SEEDS)
def test_agrees_with_an_independent_runtime(runtime, lengths, seed):
    ids, mask = padded(lengths, seed)
    expected = runtime.run(None, {"ids": ids, "mask": mask.astype(np.int64)})[0]
    np.testing.assert_allclose(encode(WEIGHTS, ids, mask), expected, atol=2e-5)


@settings(max_examples=12)
@given(lengths=TEXTS, seed=SEEDS, pooling=st.sampled_from(["mean", "cls"]))
def test_agrees_with_straight_algebra(xp, weights, lengths, seed, pooling):
    ids, mask = padded(lengths, seed)
    before = ids.copy(), mask.copy()
    given_ids, given_mask = xp.asarray(ids), xp.asarray(mask)
    got = encode(weights, given_ids, given_mask, pooling=pooling)
    assert got.dtype == np.float32
    expected = [
        bert_vector(TENSORS, row[:length], layers=LAYERS, heads=HEADS, pooling=pooling)
        for row, length in zip(ids, lengths, strict=True)
    ]
    np.testing.assert_allclose(host(got), expected, atol=2e-5)
    np.testing.assert_array_equal(host(given_ids), before[0])
    np.testing.assert_array_equal(host(given_mask), before[1])


@settings(max_examples=12)
@given(
    lengths=TEXTS,
    seed=SEEDS,
    heads=st.sampled_from([1, 3, 6]),
    base=st.sampled_from([50.0, 1000.0]),
    tensors=st.sampled_from([NOMIC, nomic_tensors(biased=True)]),
)
def test_rotated_places_and_gates_agree_with_straight_algebra(xp, lengths, seed, heads, base, tensors):
    weights = BertWeights.from_tensors(
        on_device(xp, tensors), layers=2, heads=heads, rotary_base=base, rotary_longest=LONGEST
    )
    ids, mask = padded(lengths, seed)
    expected = [
        nomic_vector(tensors, row[:length], layers=2, heads=heads, base=base)
        for row, length in zip(ids, lengths, strict=True)
    ]
    np.testing.assert_allclose(host(encode(weights, xp.asarray(ids), xp.asarray(mask))), expected, atol=2e-5)


@pytest.mark.parametrize("tensors", [TENSORS, NOMIC], ids=["bert", "nomic"])
def test_float16_keeps_the_direction(xp, tensors):
    half = BertWeights.from_tensors(on_device(xp, tensors), layers=LAYERS, heads=HEADS, dtype="float16")
    whole = BertWeights.from_tensors(on_device(xp, tensors), layers=LAYERS, heads=HEADS)
    assert half.words.dtype == half.layers[0].up.matrix.dtype == np.float16
    ids, mask = (xp.asarray(array) for array in padded([40, 1, 7, 23], 3))
    rounded, exact = host(encode(half, ids, mask)), host(encode(whole, ids, mask))
    assert np.abs(rounded - exact).max() > 1e-6
    assert (rounded * exact).sum(axis=1).min() >= 0.9999


def test_a_prefix_and_another_first_place_are_understood():
    named = {f"roberta.{name}": tensor for name, tensor in TENSORS.items()} | {"head.bias": np.zeros(2)}
    weights = BertWeights.from_tensors(named, layers=LAYERS, heads=HEADS, first_place=2)
    assert weights.longest == LONGEST - 2
    ids, mask = padded([9], 4)
    expected = bert_vector(TENSORS, ids[0], layers=LAYERS, heads=HEADS, first_place=2)
    np.testing.assert_allclose(encode(weights, ids, mask)[0], expected, atol=2e-5)


def test_gaps_in_a_text_are_not_read_and_keep_their_place(runtime):
    ids, mask = padded([9, 9], 3)
    mask[:, 2:5] = mask[1, 0] = False
    expected = runtime.run(None, {"ids": ids, "mask": mask.astype(np.int64)})[0]
    np.testing.assert_allclose(encode(WEIGHTS, ids, mask), expected, atol=2e-5)


@given(length=st.integers(1, 20), padding=st.integers(0, 20), seed=SEEDS)
def test_neither_padding_nor_other_texts_change_a_bit(length, padding, seed):
    ids, mask = padded([length, length + padding], seed)
    alone = encode(WEIGHTS, ids[:1, :length], mask[:1, :length])
    np.testing.assert_array_equal(encode(WEIGHTS, ids, mask)[:1], alone)


@pytest.mark.parametrize("group", [1, 30, 256])
@pytest.mark.parametrize("rows", [1, 16, 256])
def test_no_bit_depends_on_threads_or_on_how_the_work_is_cut(monkeypatch, group, rows):
    ids, mask = padded([40, 7, 1, 33, 12, 40, 25], 8)
    expected = encode(WEIGHTS, ids, mask)
    monkeypatch.setattr(encoder_cpu, "GROUP_TOKENS", group)
    monkeypatch.setattr(encoder_cpu, "PART_TOKENS", rows)
    for count in (1, 2, 5):
        limit_threads(count)
        try:
            np.testing.assert_array_equal(encode(WEIGHTS, ids, mask), expected)
        finally:
            limit_threads(None)


@settings(max_examples=12)
@given(lengths=st.lists(st.integers(1, LONGEST), max_size=9), seed=SEEDS, most=st.integers(1, 90))
def test_packed_texts_keep_their_order_and_their_vectors(xp, weights, lengths, seed, most):
    ids, mask = padded(lengths or [1], seed)
    packed = xp.asarray(ids[mask] if lengths else ids[:0, 0])
    got = host(encode_packed(weights, packed, lengths, most_tokens=most))
    assert got.shape == (len(lengths), WIDTH)
    if lengths:
        expected = host(encode(weights, xp.asarray(ids), xp.asarray(mask)))
        np.testing.assert_allclose(got, expected, atol=0 if xp is np else 1e-6)


def test_weights_and_inputs_may_be_read_only_and_strided():
    frozen = {name: np.repeat(tensor, 2, axis=0)[::2] for name, tensor in TENSORS.items()}
    for tensor in frozen.values():
        tensor.flags.writeable = False
    ids, mask = padded([6, 3, 5, 2], 1)
    expected = encode(WEIGHTS, np.ascontiguousarray(ids[::2, ::-1]), np.ascontiguousarray(mask[::2]))
    strided_ids, strided_mask = ids[::2, ::-1], mask[::2]
    strided_ids.flags.writeable = strided_mask.flags.writeable = False
    weights = BertWeights.from_tensors(frozen, layers=LAYERS, heads=HEADS)
    np.testing.assert_array_equal(encode(weights, strided_ids, strided_mask), expected)


def test_every_vector_has_length_one():
    ids, mask = padded([1, 7, 30], 5)
    np.testing.assert_allclose(np.linalg.norm(encode(WEIGHTS, ids, mask), axis=1), 1.0, atol=1e-6)


def test_no_texts_give_no_vectors():
    assert encode(WEIGHTS, np.zeros((0, 4), int), np.zeros((0, 4), bool)).shape == (0, WIDTH)
    assert encode_packed(WEIGHTS, np.zeros(0, int), []).shape == (0, WIDTH)


@pytest.mark.parametrize(
    ("ids", "mask", "complaint"),
    [
        (np.zeros((1, LONGEST + 1), int), np.ones((1, LONGEST + 1)), "at most 40 tokens"),
        (np.zeros((2, 3), int), np.array([[1, 0, 0], [0, 0, 0]]), "at least one token"),
        (np.zeros((2, 3), int), np.ones((2, 4)), "batch, length"),
        (np.full((1, 2), VOCABULARY), np.ones((1, 2)), "ids must lie in"),
        (np.full((1, 2), -1), np.ones((1, 2)), "ids must lie in"),
    ],
)
def test_texts_that_cannot_be_encoded_are_refused(ids, mask, complaint):
    with pytest.raises(ValueError, match=complaint):
        encode(WEIGHTS, ids, mask)


@pytest.mark.parametrize(
    ("ids", "lengths", "complaint"),
    [
        (np.zeros(3, int), [1, 1], "add up to 2"),
        (np.zeros((3, 1), int), [3], "add up to 3"),
        (np.zeros(3, int), [3, 0], "at least one token"),
        (np.zeros(41, int), [41], "at most 40 tokens"),
        (np.full(3, VOCABULARY), [3], "ids must lie in"),
    ],
)
def test_packed_texts_that_cannot_be_encoded_are_refused(ids, lengths, complaint):
    with pytest.raises(ValueError, match=complaint):
        encode_packed(WEIGHTS, ids, lengths)


def test_ids_that_are_no_integers_and_unknown_poolings_are_refused():
    with pytest.raises(TypeError, match="integers, got float64"):
        encode(WEIGHTS, np.zeros((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="mean or cls"):
        encode(WEIGHTS, np.zeros((1, 2), int), np.ones((1, 2)), pooling="max")


@given(lengths=st.lists(st.integers(1, 50), max_size=30), most=st.integers(1, 120))
def test_a_plan_holds_every_text_once_longest_first_and_keeps_the_limit(lengths, most):
    batches = plan(lengths, most_tokens=most)
    order = [int(text) for batch in batches for text in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[text] for text in order] == sorted(lengths, reverse=True)
    sizes = [sum(lengths[text] for text in batch) for batch in batches]
    assert all(size <= most or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))
    following = [lengths[batch[0]] for batch in batches[1:]]
    assert all(size + more > most for size, more in zip(sizes, following, strict=False))


def test_a_plan_needs_tokens():
    for lengths, most in (([0], 5), ([2], 0)):
        with pytest.raises(ValueError, match="at least one token"):
            plan(lengths, most_tokens=most)
