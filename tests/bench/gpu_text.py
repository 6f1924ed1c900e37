"""Text: the encoder against onnxruntime on the same weights, from token ids to vectors.

Tokenizing counts for nobody. Every peer runs with its fastest batch size, threads waiting busily or
not, attention fused or not, its texts sorted by length.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

from gpu import BertWeights, cuda_problem, encode_packed
from handlers.minilm import MODEL_PACKAGE, MiniLM
from tests.bench.racing import Call, Row, race
from tests.bench.retrieval_sets import folder
from tests.gpu.text.bert_onnx import bert_session

LAYERS, HEADS, WIDTH, INNER = 6, 12, 384, 1536
WORK = {"200 tokens": [200] * 16, "20 to 250 tokens": list(range(20, 251, 10))}
WORDS = ["court", "lease", "buyer", "bank", "letter", "witness", "payment", "harbour", "signed", "denied"]
PAUSE_S = 0.05
"""OpenBLAS and onnxruntime let threads wait busily for some milliseconds after a call."""

Texts = Sequence[np.ndarray]


@functools.cache
def model() -> MiniLM:
    return MiniLM("cpu")


@functools.cache
def tensors() -> dict[str, np.ndarray]:
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return load_file(Path(spec.submodule_search_locations[0]) / "model" / "model.safetensors")


@functools.cache
def sessions(int8: bool) -> dict[str, onnxruntime.InferenceSession]:
    """Sessions of the same encoder, threads waiting asleep and busily, attention in parts and fused."""
    build = functools.partial(bert_session, tensors(), layers=LAYERS, heads=HEADS, int8=int8)
    return {
        "": build(),
        " spinning": build(spinning=True),
        " fused": build(fused=True),
        " fused, spinning": build(fused=True, spinning=True),
    }


def texts_of(lengths: Sequence[int]) -> Texts:
    """Token ids of texts of exactly these lengths."""
    rng = np.random.default_rng(2)
    some = [model().tokenizer.encode(" ".join(rng.choice(WORDS, length))).ids for length in lengths]
    return [np.array([*ids[: length - 1], ids[-1]]) for ids, length in zip(some, lengths, strict=True)]


def padded(texts: Texts, size: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of texts of like length: which texts, their ids and their mask."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    batches = []
    for some in (order[first : first + size] for first in range(0, len(order), size)):
        ids = np.zeros((len(some), len(texts[some[0]])), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, i in enumerate(some):
            ids[row, : len(texts[i])], mask[row, : len(texts[i])] = texts[i], 1
        batches.append((np.array(some), ids, mask))
    return batches


def run(session: onnxruntime.InferenceSession, texts: Texts, size: int) -> np.ndarray:
    vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
    for some, ids, mask in padded(texts, size):
        vectors[some] = session.run(None, {"ids": ids, "mask": mask})[0]
    return vectors


def fastest(texts: Texts, int8: bool) -> tuple[str, Callable[[], np.ndarray]]:
    """onnxruntime with the batch size and the session that suit these texts best, and what they are."""
    found = []
    for (waiting, session), size in itertools.product(sessions(int8).items(), (1, 2, 4, 8)):
        if size <= len(texts):
            call = functools.partial(run, session, texts, size)
            call()
            taken = []
            for _ in range(2):
                time.sleep(PAUSE_S)
                before = time.perf_counter()
                call()
                taken.append(time.perf_counter() - before)
            found.append(
                (min(taken), f"onnxruntime {'int8' if int8 else 'fp32'}, {size} a batch{waiting}", call)
            )
    return min(found, key=lambda entry: entry[0])[1:]


def ours(weights: BertWeights, texts: Texts) -> Callable[[], np.ndarray]:
    ids, lengths = np.concatenate(texts), [len(text) for text in texts]
    return lambda: encode_packed(weights, ids, lengths)


def cosine(vectors: np.ndarray, others: np.ndarray) -> str:
    return f"cosine ≥ {(vectors * others).sum(axis=1).min():.6f}"


@functools.cache
def changed_by_int8() -> str:
    """How many of a real chunk's ten nearest chunks int8 changes, on average."""
    root = folder()
    if root is None:
        return "neighbours not looked at: no retrieval sets here"
    stored = json.loads((root / "musique-train100" / "musique_train_corpus.json").read_text("utf-8"))
    chunks = [f"{entry['title']}\n{entry['text']}" for entry in stored[:300]]
    texts = [np.array(model().tokenizer.encode(chunk).ids[:256]) for chunk in chunks]
    nearest = []
    for vectors in (ours(model().weights, texts)(), run(sessions(True)[""], texts, 4)):
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -1.0)
        nearest.append([set(row) for row in np.argsort(-likeness, axis=1)[:, :10]])
    changed = np.mean([10 - len(one & other) for one, other in zip(*nearest, strict=True)])
    return f"changes {changed:.2f} of the 10 nearest of {len(chunks)} real chunks"


def bench_encoder() -> list[Row]:
    """Against onnxruntime in float32 and, less exact, in int8."""
    found = []
    for name, lengths in WORK.items():
        texts = texts_of(lengths)
        call = ours(model().weights, texts)
        peers = {int8: fastest(texts, int8) for int8 in (False, True)}
        reference = peers[False][1]()
        for int8, (peer, theirs) in peers.items():
            against = "reference"
            if int8:
                against = f"{cosine(theirs(), reference)}, {changed_by_int8()}"
            found += race(
                f"MiniLM, {name}",
                "casewire",
                {"casewire": call, peer: theirs},
                {"casewire": cosine(call(), reference), peer: against},
                seconds=6.0,
                per_second=len(texts),
                unit="texts/s",
                aim="" if int8 or name == "200 tokens" else "≥ 1.1",
                rounds=7,
                pause_s=PAUSE_S,
            )
    return found


def bench_share() -> list[Row]:
    """The encoder's matrix products a second against those of NumPy's BLAS on the same shapes."""
    found = []
    for name, lengths in WORK.items():
        texts, tokens = texts_of(lengths), sum(lengths)
        shapes = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH))
        inputs = {depth: np.ones((tokens, depth), np.float32) for depth in (WIDTH, INNER)}
        matrices = [np.full(shape, 0.01, np.float32) for shape in shapes]
        outputs = [np.empty((tokens, shape[1]), np.float32) for shape in shapes]

        def multiply(
            inputs: dict[int, np.ndarray] = inputs,
            matrices: list[np.ndarray] = matrices,
            outputs: list[np.ndarray] = outputs,
        ) -> None:
            for _ in range(LAYERS):
                for matrix, output in zip(matrices, outputs, strict=True):
                    np.matmul(inputs[len(matrix)], matrix, out=output)

        linear = 2e-9 * LAYERS * tokens * sum(rows * columns for rows, columns in shapes)
        attention = 4e-9 * LAYERS * WIDTH * sum(length**2 for length in lengths)
        calls: dict[str, Call] = {"casewire": ours(model().weights, texts), "NumPy's sgemm": multiply}
        accuracy = {
            "casewire": f"the ratio counts the {linear:.0f} Gflop of both only",
            "NumPy's sgemm": f"attention's {attention:.0f} Gflop and all other steps are left out",
        }
        found += race(
            f"MiniLM, {name}, share of the matrix-product rate",
            "casewire",
            calls,
            accuracy,
            seconds=6.0,
            per_second=linear,
            unit="Gflop/s",
            aim="≥ 0.65",
            rounds=7,
            pause_s=PAUSE_S,
        )
    return found


def bench_float16() -> list[Row]:
    """What it costs on the CPU to widen float16 weights, and what it does to the vectors."""
    texts = texts_of(WORK["20 to 250 tokens"])
    half = BertWeights.from_tensors(tensors(), layers=LAYERS, heads=HEADS, dtype="float16")
    calls = {"casewire": ours(half, texts), "casewire float32": ours(model().weights, texts)}
    exact = calls["casewire float32"]()
    accuracy = {"casewire": cosine(calls["casewire"](), exact), "casewire float32": "reference"}
    return race(
        "MiniLM, weights in float16",
        "casewire",
        calls,
        accuracy,
        seconds=6.0,
        per_second=len(texts),
        unit="texts/s",
        rounds=7,
    )


def bench_query() -> list[Row]:
    """One short text, as a person waits for it."""
    texts = texts_of([20])
    peer, theirs = fastest(texts, int8=False)
    call = ours(model().weights, texts)
    return race(
        "MiniLM, one query of 20 tokens",
        "casewire",
        {"casewire": call, peer: theirs},
        {"casewire": cosine(call(), theirs()), peer: "reference"},
        seconds=4.0,
        pause_s=PAUSE_S,
    )


def bench_gpu() -> list[Row]:
    """On a GPU against PyTorch's own kernels, both in float16, 512 texts of mixed lengths."""
    if cuda_problem() or importlib.util.find_spec("torch") is None:
        return []
    import cupy
    import torch

    from tests.bench.gpu_text_torch import torch_encoder

    texts = texts_of(np.random.default_rng(3).integers(20, 251, 512).tolist())
    ids, lengths = cupy.asarray(np.concatenate(texts)), [len(text) for text in texts]
    on_device = {name: cupy.asarray(tensor) for name, tensor in tensors().items()}
    exact = ours(model().weights, texts)()
    found = []
    for dtype in ("float16", "float32"):
        weights = BertWeights.from_tensors(on_device, layers=LAYERS, heads=HEADS, dtype=dtype)  # type: ignore[arg-type]

        def call(weights: BertWeights = weights) -> np.ndarray:
            vectors: np.ndarray = encode_packed(weights, ids, lengths, most_tokens=1 << 16).get()
            return vectors

        theirs = torch_encoder(tensors(), padded(texts, 64), layers=LAYERS, heads=HEADS, dtype=dtype)
        peer = f"PyTorch {torch.__version__}"
        found += race(
            f"MiniLM on the GPU, {dtype}",
            "casewire",
            {"casewire": call, peer: theirs},
            {"casewire": cosine(call(), exact), peer: cosine(theirs(), exact)},
            per_second=len(texts),
            unit="texts/s",
        )
    return found


BENCHES = (bench_encoder, bench_share, bench_float16, bench_query, bench_gpu)
