"""Which checkpoints are understood, and what is said of the others."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from gpu import BertWeights, encode_packed, required_bytes
from gpu.threads import threads
from tests.gpu.text.checkpoints import VOCABULARY, bert_tensors, nomic_tensors

BERT, NOMIC = bert_tensors(), nomic_tensors()


def arranged(tensors, **changes):
    return BertWeights.from_tensors(tensors, **({"layers": 2, "heads": 3} | changes))


@pytest.mark.parametrize("tensors", [BERT, NOMIC], ids=["bert", "nomic"])
def test_a_missing_tensor_is_named(tensors):
    for name in tensors:
        rest = {key: value for key, value in tensors.items() if key != name}
        with pytest.raises((KeyError, ValueError), match=r"weight|bias|names are those of neither") as caught:
            arranged(rest)
        assert name in str(caught.value) or "neither a BERT nor" in str(caught.value)


@pytest.mark.parametrize("tensors", [BERT, NOMIC], ids=["bert", "nomic"])
def test_a_tensor_of_the_wrong_shape_is_refused(tensors):
    for name in tensors:
        cut = tensors[name][..., :-1]
        with pytest.raises(ValueError, match=r"must be|do not make up"):
            arranged(tensors | {name: cut})


def test_numbers_that_are_not_finite_are_refused_where_they_are_stored():
    name = "encoder.layer.0.output.dense.weight"
    large = BERT[name].copy()
    large[0, 0] = 1e6
    arranged(BERT | {name: large})
    with pytest.raises(ValueError, match=f"{name} holds numbers that are not finite in float16"):
        arranged(BERT | {name: large}, dtype="float16")
    with pytest.raises(ValueError, match="not finite in float32"):
        arranged(BERT | {name: large * np.nan})


def test_layers_that_would_be_left_out_are_refused():
    with pytest.raises(ValueError, match=r"encoder.layer.1.* belongs to no"):
        arranged(BERT, layers=1)
    arranged(BERT | {"pooler.dense.weight": np.zeros((2, 2)), "embeddings.position_ids": np.arange(3)})
    with pytest.raises(ValueError, match="relative"):
        arranged(BERT | {"encoder.relative_attention_bias.weight": np.zeros((2, 2))})


def test_other_architectures_and_settings_are_refused():
    words = {"embeddings.word_embeddings.weight": BERT["embeddings.word_embeddings.weight"]}
    with pytest.raises(ValueError, match="neither a BERT nor a nomic-bert"):
        arranged(words | {"encoder.layer.0.attention.attn.q.weight": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="found 0"):
        arranged({"wte.weight": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="5 heads"):
        arranged(BERT, heads=5)
    with pytest.raises(ValueError, match="even width"):
        arranged(BERT, heads=8)
    with pytest.raises(ValueError, match="0 heads"):
        arranged(BERT, heads=0)
    kinds = "embeddings.token_type_embeddings.weight"
    with pytest.raises(ValueError, match=f"{kinds} must be"):
        arranged(BERT | {kinds: BERT[kinds][:0]})
    with pytest.raises(ValueError, match="'int8'"):
        arranged(BERT, dtype="int8")


def test_tensors_that_are_no_arrays_are_refused():
    with pytest.raises(TypeError, match="got list"):
        arranged(BERT | {"embeddings.LayerNorm.bias": [0.0] * 24})


def test_the_memory_named_is_the_memory_taken():
    weights = arranged(bert_tensors(width=384), heads=12)
    lengths = [40] * 200
    ids = np.random.default_rng(0).integers(0, VOCABULARY, sum(lengths))
    named = required_bytes(weights, len(ids), longest=40, texts=len(lengths))
    encode_packed(weights, ids[:40], lengths[:1])
    tracemalloc.start()
    try:
        encode_packed(weights, ids, lengths)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.3 * named / threads() < taken <= named
