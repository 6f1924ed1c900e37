"""The forward pass against an independent runtime on the same weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu import BertWeights, encode
from gpu.text import encoder_cpu

pytest.importorskip("onnxruntime")
from tests.gpu.text.bert_onnx import bert_session

LAYERS, HEADS, WIDTH, VOCABULARY, LONGEST = 2, 3, 24, 50, 40


def tiny_tensors():
    """A BERT of two layers with random weights, large enough for attention to matter."""
    rng = np.random.default_rng(11)
    shapes = {
        "embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": (LONGEST, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for i in range(LAYERS):
        at = f"encoder.layer.{i}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{at}.attention.{name}.weight"] = (WIDTH, WIDTH)
            shapes[f"{at}.attention.{name}.bias"] = (WIDTH,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{at}.{name}.weight"] = shapes[f"{at}.{name}.bias"] = (WIDTH,)
        shapes[f"{at}.intermediate.dense.weight"] = (4 * WIDTH, WIDTH)
        shapes[f"{at}.intermediate.dense.bias"] = (4 * WIDTH,)
        shapes[f"{at}.output.dense.weight"] = (WIDTH, 4 * WIDTH)
        shapes[f"{at}.output.dense.bias"] = (WIDTH,)
    return {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in shapes.items()}


TENSORS = tiny_tensors()
WEIGHTS = BertWeights.from_tensors(TENSORS, layers=LAYERS, heads=HEADS)


@pytest.fixture(scope="module")
def runtime():
    return bert_session(TENSORS, layers=LAYERS, heads=HEADS, threads=1)


@pytest.fixture(scope="module")
def weights(xp):
    tensors = {name: xp.asarray(tensor) for name, tensor in TENSORS.items()}
    return BertWeights.from_tensors(tensors, layers=LAYERS, heads=HEADS)


def padded(lengths, seed):
    """Random texts of the given lengths, with noise where they are padded."""
    shape = (len(lengths), max(lengths))
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, shape)
    return ids, np.arange(shape[1]) < np.array(lengths)[:, None]


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(1, LONGEST), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_agrees_with_an_independent_runtime(xp, weights, runtime, lengths, seed):
    ids, mask = padded(lengths, seed)
    before = ids.copy(), mask.copy()
    got = encode(weights, on_device := xp.asarray(ids), xp.asarray(mask))
    assert got.dtype == np.float32
    expected = runtime.run(None, {"ids": ids, "mask": mask.astype(np.int64)})[0]
    np.testing.assert_allclose(got if xp is np else got.get(), expected, atol=2e-5)
    np.testing.assert_array_equal(on_device if xp is np else on_device.get(), before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_gaps_in_a_text_are_not_read_and_keep_their_place(runtime):
    ids, mask = padded([9, 9], 3)
    mask[:, 2:5] = mask[1, 0] = False
    expected = runtime.run(None, {"ids": ids, "mask": mask.astype(np.int64)})[0]
    np.testing.assert_allclose(encode(WEIGHTS, ids, mask), expected, atol=2e-5)


@given(length=st.integers(1, 20), padding=st.integers(0, 20), seed=st.integers(0, 2**32 - 1))
def test_padding_changes_nothing_but_rounding(length, padding, seed):
    ids, mask = padded([length, length + padding], seed)
    alone = encode(WEIGHTS, ids[:1, :length], mask[:1, :length])
    np.testing.assert_allclose(encode(WEIGHTS, ids, mask)[:1], alone, atol=1e-5)


def test_weights_and_inputs_may_be_read_only_and_strided():
    frozen = {name: tensor.copy() for name, tensor in TENSORS.items()}
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


def test_a_missing_tensor_is_named():
    name = "encoder.layer.1.output.dense.bias"
    with pytest.raises(KeyError, match=name):
        BertWeights.from_tensors(
            {key: value for key, value in TENSORS.items() if key != name}, layers=LAYERS, heads=HEADS
        )


def test_the_polynomial_gelu_is_exact_to_float32():
    x = np.concatenate([np.linspace(-40, 40, 4001), np.linspace(-1, 1, 2001)])
    bias = np.full(x.size, 0.25, dtype=np.float32)
    rows = (x - 0.25).astype(np.float32)[None]
    shifted = rows[0].astype(np.float64) + 0.25
    encoder_cpu.gelu(rows, bias)
    exact = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in shifted]
    np.testing.assert_allclose(rows[0], exact, atol=1e-6, rtol=3e-7)


def test_the_polynomial_softmax_is_exact_to_float32():
    scores = np.random.default_rng(2).normal(0, 30, (2, 37, 37)).astype(np.float32)
    scaled = scores.astype(np.float64) * 0.5
    exact = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    encoder_cpu.softmax(scores, 0.5)
    np.testing.assert_allclose(scores, exact, rtol=2e-5, atol=1e-30)


def test_the_softmax_leaves_no_subnormal_numbers():
    falling = np.tile(np.concatenate([np.zeros(100), -np.arange(100)]), (1, 200, 1)).astype(np.float32)
    encoder_cpu.softmax(falling, 1.0)
    assert not ((falling > 0) & (falling < np.finfo(np.float32).tiny)).any()
    np.testing.assert_allclose(falling.sum(axis=2), 1.0, rtol=1e-5)
