"""A hundred thousand embeddings of real text, with questions that are none of them.

The texts are the public retrieval sets cut into windows of 16 words, one every few words, and the
facts that were read from them, one text a fact. The questions are those that the sets ask. All are
encoded once by the model in use; the vectors are kept in `.make` under a name that the texts give.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handlers.minilm import MiniLM
from tests.bench.retrieval_sets import contractnli, cranfield, folder, musique

KEPT = Path(os.environ.get("CASEWIRE_EMBEDDINGS") or Path(__file__).parents[2] / ".make" / "embeddings")
COUNT = 100_000
WINDOW_WORDS, STEP_WORDS = 16, 5
BATCH = 2_000

Vectors = NDArray[np.float32]


def embeddings() -> tuple[Vectors, Vectors] | None:
    """`COUNT` unit vectors and those of the questions; None where the sets are absent.

    The first call encodes for some minutes.
    """
    root = folder()
    if root is None:
        return None
    texts, questions = _texts(root)
    return _encoded(texts), _encoded(questions)


def _texts(root: Path) -> tuple[list[str], list[str]]:
    sets = [musique(root), contractnli(root), cranfield(root)]
    questions = list(dict.fromkeys(question.text for found in sets for question in found.questions))
    passages = [
        passage
        for found in sets
        for sources in found.cases.values()
        for source in sources
        for passage in source.passages
    ]
    texts = list(dict.fromkeys([*_facts(root), *_windows(passages)]))
    if len(texts) < COUNT:
        raise ValueError(f"The sets give {len(texts)} texts; {COUNT} are needed.")
    kept = np.sort(np.random.default_rng(0).permutation(len(texts))[:COUNT])
    return [texts[i] for i in kept], questions


def _facts(root: Path) -> Iterator[str]:
    """Subject, relation and object as one short text."""
    for path in sorted((root / "musique-train100").glob("openie_*.json")):
        for document in json.loads(path.read_text("utf-8"))["docs"]:
            for triple in document["extracted_triples"]:
                yield " ".join(str(part) for part in triple)


def _windows(passages: Iterable[str]) -> Iterator[str]:
    for passage in passages:
        words = passage.split()
        for first in range(0, max(1, len(words) - WINDOW_WORDS + STEP_WORDS), STEP_WORDS):
            yield " ".join(words[first : first + WINDOW_WORDS])


def _encoded(texts: list[str]) -> Vectors:
    name = hashlib.sha256("\0".join([MiniLM.name, *texts]).encode()).hexdigest()[:16]
    path = KEPT / f"{len(texts)}-{name}.npy"
    if path.is_file():
        found: Vectors = np.load(path)
        return found
    model = MiniLM()
    KEPT.mkdir(parents=True, exist_ok=True)
    vectors = np.empty((len(texts), model.dimensions), np.float32)
    begun = time.monotonic()
    for first in range(0, len(texts), BATCH):
        vectors[first : first + BATCH] = model.encode(texts[first : first + BATCH])
        if len(texts) > BATCH:
            done = min(first + BATCH, len(texts))
            print(f"encoded {done} of {len(texts)} in {time.monotonic() - begun:.0f} s", flush=True)
    # Written beside and moved, so that a run that is stopped leaves no half file.
    rest = path.with_suffix(".part.npy")
    np.save(rest, vectors)
    rest.replace(path)
    return vectors
