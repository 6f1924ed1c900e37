"""Random checkpoints of tiny encoders, and their vectors by straight float64 algebra, text by text."""

from __future__ import annotations

import math

import numpy as np

VOCABULARY, LONGEST = 50, 40


def bert_tensors(layers: int = 2, width: int = 24, seed: int = 11) -> dict[str, np.ndarray]:
    """A BERT with weights large enough for attention to matter."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, width),
        "embeddings.position_embeddings.weight": (LONGEST, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for i in range(layers):
        at = f"encoder.layer.{i}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{at}.attention.{name}.weight"] = (width, width)
            shapes[f"{at}.attention.{name}.bias"] = (width,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{at}.{name}.weight"] = shapes[f"{at}.{name}.bias"] = (width,)
        shapes[f"{at}.intermediate.dense.weight"] = (4 * width, width)
        shapes[f"{at}.intermediate.dense.bias"] = (4 * width,)
        shapes[f"{at}.output.dense.weight"] = (width, 4 * width)
        shapes[f"{at}.output.dense.bias"] = (width,)
    return {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in shapes.items()}


def nomic_tensors(
    layers: int = 2, width: int = 24, inner: int = 40, seed: int = 5, *, biased: bool = False
) -> dict[str, np.ndarray]:
    """A nomic-bert: rotated queries and keys, SwiGLU, and biases if asked for."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "emb_ln.weight": (width,),
        "emb_ln.bias": (width,),
    }
    for i in range(layers):
        at = f"encoder.layers.{i}"
        shapes[f"{at}.attn.Wqkv.weight"] = (3 * width, width)
        shapes[f"{at}.attn.out_proj.weight"] = (width, width)
        shapes[f"{at}.mlp.fc11.weight"] = shapes[f"{at}.mlp.fc12.weight"] = (inner, width)
        shapes[f"{at}.mlp.fc2.weight"] = (width, inner)
        if biased:
            for name in ("attn.Wqkv", "attn.out_proj", "mlp.fc11", "mlp.fc12", "mlp.fc2"):
                shapes[f"{at}.{name}.bias"] = shapes[f"{at}.{name}.weight"][:1]
        for name in ("norm1", "norm2"):
            shapes[f"{at}.{name}.weight"] = shapes[f"{at}.{name}.bias"] = (width,)
    return {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in shapes.items()}


def normal(x: np.ndarray, tensors: dict[str, np.ndarray], at: str, epsilon: float) -> np.ndarray:
    """A layer normalisation of rows."""
    spread = ((x - x.mean(axis=1, keepdims=True)) ** 2).mean(axis=1, keepdims=True)
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(spread + epsilon)
    return x * tensors[f"{at}.weight"] + tensors[f"{at}.bias"]


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int) -> np.ndarray:
    """What each of a text's tokens gathers, a head at a time."""
    gathered = []
    for q, k, v in zip(*(np.split(x, heads, axis=1) for x in (query, key, value)), strict=True):
        scores = q @ k.T / math.sqrt(q.shape[1])
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        gathered.append(powers / powers.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(gathered, axis=1)


def turned(x: np.ndarray, heads: int, base: float) -> np.ndarray:
    """Pairs (i, i + half) of every head as complex numbers, turned by their row's angle."""
    size = x.shape[1] // heads
    pairs = x.reshape(len(x), heads, 2, size // 2)
    numbers = pairs[:, :, 0] + 1j * pairs[:, :, 1]
    speeds = np.array([base ** (-2 * i / size) for i in range(size // 2)])
    numbers = numbers * np.exp(1j * np.arange(len(x))[:, None] * speeds)[:, None, :]
    return np.stack([numbers.real, numbers.imag], axis=2).reshape(x.shape)


def pooled(x: np.ndarray, pooling: str) -> np.ndarray:
    """The unit vector of a text's last rows."""
    vector = x[0] if pooling == "cls" else x.mean(axis=0)
    return vector / np.linalg.norm(vector)


def bert_vector(
    stored: dict[str, np.ndarray], ids: np.ndarray, *, layers: int, heads: int, pooling: str = "mean",
    first_place: int = 0,
) -> np.ndarray:  # fmt: skip
    """The vector of one text."""
    tensors = {name: tensor.astype(np.float64) for name, tensor in stored.items()}
    places = tensors["embeddings.position_embeddings.weight"][first_place:]
    x = tensors["embeddings.word_embeddings.weight"][ids] + places[: len(ids)]
    x = normal(
        x + tensors["embeddings.token_type_embeddings.weight"][0], tensors, "embeddings.LayerNorm", 1e-12
    )

    def linear(rows: np.ndarray, at: str) -> np.ndarray:
        return rows @ tensors[f"{at}.weight"].T + tensors[f"{at}.bias"]

    for i in range(layers):
        at = f"encoder.layer.{i}"
        parts = [linear(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
        mixed = linear(attention(*parts, heads), f"{at}.attention.output.dense")
        x = normal(mixed + x, tensors, f"{at}.attention.output.LayerNorm", 1e-12)
        wide = linear(x, f"{at}.intermediate.dense")
        wide *= np.vectorize(lambda number: 0.5 * (1 + math.erf(number / math.sqrt(2))))(wide)
        x = normal(linear(wide, f"{at}.output.dense") + x, tensors, f"{at}.output.LayerNorm", 1e-12)
    return pooled(x, pooling)


def nomic_vector(
    stored: dict[str, np.ndarray], ids: np.ndarray, *, layers: int, heads: int, base: float,
    pooling: str = "mean",
) -> np.ndarray:  # fmt: skip
    """The vector of one text."""
    tensors = {name: tensor.astype(np.float64) for name, tensor in stored.items()}
    x = (
        tensors["embeddings.word_embeddings.weight"][ids]
        + tensors["embeddings.token_type_embeddings.weight"][0]
    )
    x = normal(x, tensors, "emb_ln", 1e-12)

    def linear(rows: np.ndarray, at: str) -> np.ndarray:
        return rows @ tensors[f"{at}.weight"].T + tensors.get(f"{at}.bias", 0.0)

    for i in range(layers):
        at = f"encoder.layers.{i}"
        query, key, value = np.split(linear(x, f"{at}.attn.Wqkv"), 3, axis=1)
        mixed = attention(turned(query, heads, base), turned(key, heads, base), value, heads)
        x = normal(x + linear(mixed, f"{at}.attn.out_proj"), tensors, f"{at}.norm1", 1e-12)
        gate = linear(x, f"{at}.mlp.fc12")
        wide = linear(x, f"{at}.mlp.fc11") * gate / (1 + np.exp(-gate))
        x = normal(x + linear(wide, f"{at}.mlp.fc2"), tensors, f"{at}.norm2", 1e-12)
    return pooled(x, pooling)
