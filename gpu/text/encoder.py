"""A BERT encoder is one forward pass over plain arrays, here ending in one unit vector a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from gpu.arrays import Array, array_namespace


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One transformer layer of width h: matrices are (out, in), vectors (out,), all float32."""

    qkv_weight: Array
    """(3h, h): query, key and value, one under the other."""
    qkv_bias: Array
    attended_weight: Array
    attended_bias: Array
    attended_scale: Array
    attended_shift: Array
    up_weight: Array
    up_bias: Array
    down_weight: Array
    down_bias: Array
    out_scale: Array
    out_shift: Array


@dataclass(frozen=True, eq=False)
class BertWeights:
    """A BERT encoder of width h, all arrays float32 and in one array library."""

    words: Array
    """(vocabulary, h)."""
    places: Array
    """(longest text, h): position embeddings, the embedding of token type 0 added."""
    scale: Array
    shift: Array
    layers: tuple[LayerWeights, ...]
    heads: int
    epsilon: float

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Array], *, layers: int, heads: int, epsilon: float = 1e-12
    ) -> BertWeights:
        """Arrange tensors that carry the names of the published BERT checkpoints.

        Args:
            tensors: Arrays by name, such as `encoder.layer.0.attention.self.query.weight`.
            layers: Number of transformer layers.
            heads: Attention heads of a layer; they divide the width.
            epsilon: Added to the variance by every layer normalisation.

        Raises:
            KeyError: A tensor is missing; the message is its name.
            ValueError: `heads` does not divide the width.
        """
        words = tensors["embeddings.word_embeddings.weight"]
        xp = array_namespace(words)
        if words.shape[1] % heads:
            raise ValueError(f"{heads} heads do not divide a width of {words.shape[1]}.")

        def get(name: str) -> Array:
            return xp.ascontiguousarray(tensors[name], dtype=xp.float32)

        def stacked(name: str, kind: str) -> Array:
            return xp.concatenate([get(f"{name}.{part}.{kind}") for part in ("query", "key", "value")])

        def layer(at: str) -> LayerWeights:
            return LayerWeights(
                qkv_weight=stacked(f"{at}.attention.self", "weight"),
                qkv_bias=stacked(f"{at}.attention.self", "bias"),
                attended_weight=get(f"{at}.attention.output.dense.weight"),
                attended_bias=get(f"{at}.attention.output.dense.bias"),
                attended_scale=get(f"{at}.attention.output.LayerNorm.weight"),
                attended_shift=get(f"{at}.attention.output.LayerNorm.bias"),
                up_weight=get(f"{at}.intermediate.dense.weight"),
                up_bias=get(f"{at}.intermediate.dense.bias"),
                down_weight=get(f"{at}.output.dense.weight"),
                down_bias=get(f"{at}.output.dense.bias"),
                out_scale=get(f"{at}.output.LayerNorm.weight"),
                out_shift=get(f"{at}.output.LayerNorm.bias"),
            )

        types = get("embeddings.token_type_embeddings.weight")
        return cls(
            words=get("embeddings.word_embeddings.weight"),
            places=get("embeddings.position_embeddings.weight") + types[0],
            scale=get("embeddings.LayerNorm.weight"),
            shift=get("embeddings.LayerNorm.bias"),
            layers=tuple(layer(f"encoder.layer.{i}") for i in range(layers)),
            heads=heads,
            epsilon=epsilon,
        )

    @property
    def width(self) -> int:
        """The length h of a vector."""
        return int(self.words.shape[1])


class Steps(Protocol):
    """What happens between the matrix products of a pass, for one kind of device.

    Rows are the tokens of all texts, one text after the other, without padding; `attended` is
    the (batch, length) bool mask that they were taken from, in that order.
    """

    def normalise(
        self, rows: Array, bias: Array, residual: Array, scale: Array, shift: Array, epsilon: float
    ) -> None:
        """Set `rows` to the layer normalisation of `rows + bias + residual`; (tokens, h)."""

    def gelu(self, rows: Array, bias: Array) -> None:
        """Set `rows` to x Φ(x) of x = `rows + bias`; (tokens, width)."""

    def attend(self, qkv: Array, bias: Array, heads: int, attended: Array) -> Array:
        """Return what each token gathers from its text, (tokens, h); `qkv`, (tokens, 3h), may be
        overwritten."""

    def add_up(self, rows: Array, attended: Array) -> Array:
        """Return the sum of each text's rows, (batch, h)."""


def encode(weights: BertWeights, ids: Array, mask: Array) -> Array:
    """Return one unit vector a text: the mean of its last-layer token vectors, normalised.

    Padding changes a text's vector by no more than the rounding of float32.

    Args:
        weights: On the same device as `ids`.
        ids: Shape (batch, length), integers below the vocabulary's size; not modified.
        mask: Shape (batch, length), true or 1 at the text's tokens and false or 0 at padding,
            at least one token a text; not modified.

    Returns:
        Shape (batch, h), float32.

    Raises:
        TypeError: NumPy mixed with CuPy.
        ValueError: Wrong shapes, a text too long or without tokens, or an id out of range.

    Source: Devlin et al. 2019, NAACL N19-1423; Reimers & Gurevych 2019, EMNLP D19-1410.
    """
    xp = array_namespace(weights.words, ids, mask)
    if ids.ndim != 2 or ids.shape != mask.shape:
        raise ValueError(f"ids and mask must be (batch, length), got {ids.shape} and {mask.shape}.")
    batch, length = ids.shape
    if length > len(weights.places):
        raise ValueError(f"A text has at most {len(weights.places)} tokens, got {length}.")
    if batch == 0:
        return xp.zeros((0, weights.width), dtype=xp.float32)
    attended = mask.astype(bool)
    if not bool(attended.any(axis=1).all()):
        raise ValueError("Every text needs at least one token.")
    if int(ids.min()) < 0 or int(ids.max()) >= len(weights.words):
        raise ValueError(f"ids must lie in [0, {len(weights.words)}).")
    steps = _steps(xp)
    kept = xp.flatnonzero(attended)
    hidden = weights.words[ids.reshape(-1)[kept]]
    places = weights.places[kept % length]
    no_bias = xp.zeros_like(weights.shift)
    steps.normalise(hidden, no_bias, places, weights.scale, weights.shift, weights.epsilon)
    for layer in weights.layers:
        qkv = hidden @ layer.qkv_weight.T
        mixed = steps.attend(qkv, layer.qkv_bias, weights.heads, attended) @ layer.attended_weight.T
        steps.normalise(
            mixed, layer.attended_bias, hidden, layer.attended_scale, layer.attended_shift, weights.epsilon
        )
        wide = mixed @ layer.up_weight.T
        steps.gelu(wide, layer.up_bias)
        hidden = wide @ layer.down_weight.T
        steps.normalise(hidden, layer.down_bias, mixed, layer.out_scale, layer.out_shift, weights.epsilon)
    summed = steps.add_up(hidden, attended)
    return summed / xp.sqrt((summed * summed).sum(axis=1, keepdims=True))


def _steps(xp: ModuleType) -> Steps:
    if xp is np:
        from gpu.text import encoder_cpu

        return encoder_cpu
    from gpu.text import encoder_cuda

    return encoder_cuda
