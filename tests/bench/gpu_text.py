"""Text: the encoder against onnxruntime on the same weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from handlers.minilm import MODEL_PACKAGE, MiniLM
from tests.bench.racing import Call, Row, race
from tests.gpu.text.bert_onnx import bert_session


def bench_encoder() -> list[Row]:
    """Texts of 200 tokens, and of mixed lengths; tokenizing counts for both."""
    model = MiniLM("cpu")
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    weights = Path(spec.submodule_search_locations[0]) / "model" / "model.safetensors"
    session = bert_session(load_file(weights), layers=6, heads=12)
    rng = np.random.default_rng(2)
    words = ["court", "lease", "buyer", "bank", "letter", "witness", "payment", "harbour", "signed", "denied"]

    def by_onnxruntime(texts: list[str]) -> np.ndarray:
        tokens = [model.tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(texts)), key=lambda i: -len(tokens[i]))
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for first in range(0, len(order), 4):
            batch = order[first : first + 4]
            ids = np.zeros((len(batch), len(tokens[batch[0]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(batch):
                ids[row, : len(tokens[i])], mask[row, : len(tokens[i])] = tokens[i], 1
            vectors[batch] = session.run(None, {"ids": ids, "mask": mask})[0]
        return vectors

    found = []
    for name, lengths in {"200 tokens": [198] * 16, "20 to 250 tokens": list(range(18, 248, 10))}.items():
        texts = [" ".join(rng.choice(words, length)) for length in lengths]
        cosine = (model.encode(texts) * by_onnxruntime(texts)).sum(axis=1).min()
        calls: dict[str, Call] = {
            "casewire": lambda texts=texts: model.encode(texts),
            "onnxruntime fp32": lambda texts=texts: by_onnxruntime(texts),
        }
        accuracy = {"casewire": f"cosine ≥ {cosine:.6f}", "onnxruntime fp32": "reference"}
        found += race(
            f"MiniLM, {name}",
            "casewire",
            calls,
            accuracy,
            seconds=8.0,
            per_second=len(texts),
            unit="texts/s",
        )
    return found


BENCHES = (bench_encoder,)
