"""The weights of a BERT-like encoder are taken from a checkpoint by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gpu.arrays import Array, array_namespace
from gpu.text.tiles import COLUMNS, cut

Precision = Literal["float32", "float16"]

_WORDS = "embeddings.word_embeddings.weight"
_UNUSED = ("pooler.", "embeddings.position_ids")
"""Tensors of plain encoders that a sentence vector does not need."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A matrix to multiply rows with from the right, and what is added to the product.

    `matrix` is (in, out) on a GPU and cut into panels, (panels, in, COLUMNS), on the CPU; `bias`,
    float32, is as long as a row of the product, zeros that fill up the last panel included.
    """

    matrix: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Norm:
    """A layer normalisation's factors and summands, (h,) float32."""

    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One transformer layer of width h."""

    qkv: Linear
    """h to 3h: query, key and value, one after the other, each by heads."""
    attended: Linear
    attended_norm: Norm
    up: Linear
    """h to the inner width, or to twice that where a gate follows the values."""
    down: Linear
    out_norm: Norm


@dataclass(frozen=True, eq=False)
class BertWeights:
    """A BERT-like encoder of width h, all arrays in one array library.

    Matrices and word embeddings are float32 or float16, everything else float32.
    """

    words: Array
    """(vocabulary, h)."""
    places: Array
    """(longest text, h), the embedding of token type 0 added; (1, h) where places are rotations."""
    turns: Array
    """(longest text, head width): cosines, then sines, of a place's rotation; no rows without."""
    norm: Norm
    layers: tuple[LayerWeights, ...]
    heads: int
    inner: int
    """Width between `up` and `down`."""
    gated: bool
    """Whether values are multiplied by the SiLU of a gate instead of passing GELU."""
    epsilon: float

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Array],
        *,
        layers: int,
        heads: int,
        epsilon: float = 1e-12,
        dtype: Precision = "float32",
        first_place: int = 0,
        rotary_base: float = 1000.0,
        rotary_longest: int = 2048,
    ) -> BertWeights:
        """Arrange the tensors of a published checkpoint; which architecture, their names say.

        Known are BERT (learnt places, GELU; MiniLM, E5, BGE, GTE and, with `first_place=2`, RoBERTa
        and its kin) and nomic-bert (rotated queries and keys, SwiGLU, biases only where they are).

        Args:
            tensors: Arrays by name, such as `encoder.layer.0.attention.self.query.weight`, all names
                behind the same prefix, if any. Not modified.
            layers: Number of transformer layers.
            heads: Attention heads of a layer; they divide the width.
            epsilon: Added to the variance by every layer normalisation.
            dtype: Of the matrices and word embeddings. float16 halves their memory. On the CPU it
                costs 5 to 10 % of the speed, since they are widened again for each product; on a GPU
                rows between products are float16, too.
            first_place: The place of a text's first token among the learnt ones.
            rotary_base: Of the rotations' wavelengths.
            rotary_longest: Longest text that rotations are kept for.

        Raises:
            KeyError: A tensor is missing; the message is its name.
            ValueError: Tensors of an unknown architecture, shapes that do not fit, numbers that are
                not finite in `dtype`.
        """
        found = _Tensors(tensors, dtype)
        width = found.width
        if heads < 1 or width % heads or width // heads % 2:
            raise ValueError(f"{heads} heads of an even width do not make up a width of {width}.")
        if found.has("encoder.layers.0.attn.Wqkv.weight"):
            gated, made = True, tuple(_nomic_layers(found, layers))
            norm = found.norm("emb_ln")
        elif found.has("encoder.layer.0.attention.self.query.weight"):
            gated, made = False, tuple(_bert_layers(found, layers))
            norm = found.norm("embeddings.LayerNorm")
        else:
            raise ValueError("The tensors' names are those of neither a BERT nor a nomic-bert encoder.")
        kinds = found.embeddings("embeddings.token_type_embeddings.weight")
        if gated:
            places = kinds[:1]
            turns = _turns(found.xp, rotary_longest, width // heads, rotary_base)
        else:
            places = found.embeddings("embeddings.position_embeddings.weight")[first_place:] + kinds[0]
            turns = found.xp.zeros((0, width // heads), dtype=found.xp.float32)
        words = found.get(_WORDS, dtype)
        found.refuse_others()
        return cls(words, places, turns, norm, made, heads, found.inner, gated, epsilon)

    @property
    def width(self) -> int:
        """The length h of a vector."""
        return int(self.words.shape[1])

    @property
    def longest(self) -> int:
        """Most tokens of a text."""
        return max(len(self.places), len(self.turns))


class _Tensors:
    """A checkpoint being read: its arrays in the layout of their library, and which were used."""

    def __init__(self, tensors: Mapping[str, Array], dtype: Precision) -> None:
        ends = [name for name in tensors if name == _WORDS or name.endswith("." + _WORDS)]
        if len(ends) != 1:
            raise ValueError(f"A text encoder has one tensor named {_WORDS}, found {len(ends)}.")
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype must be float32 or float16, got {dtype!r}.")
        self.prefix = ends[0].removesuffix(_WORDS)
        self.tensors = tensors
        self.dtype = dtype
        self.used: set[str] = set()
        self.xp = array_namespace(tensors[ends[0]])
        if len(tensors[ends[0]].shape) != 2:
            raise ValueError(f"{ends[0]} must be (vocabulary, width), got {tensors[ends[0]].shape}.")
        self.width = int(tensors[ends[0]].shape[1])
        self.inner = 0

    def has(self, name: str) -> bool:
        return self.prefix + name in self.tensors

    def get(self, name: str, dtype: str = "float32") -> Array:
        """A new array of `dtype`, in C order."""
        tensor = self.tensors[self.prefix + name]
        array_namespace(tensor, self.tensors[self.prefix + _WORDS])
        self.used.add(self.prefix + name)
        with np.errstate(over="ignore"):
            array = self.xp.array(tensor, dtype=dtype, order="C")
        if not bool(self.xp.isfinite(array).all()):
            raise ValueError(f"{name} holds numbers that are not finite in {dtype}.")
        return array

    def embeddings(self, name: str) -> Array:
        rows = self.get(name)
        if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != self.width:
            raise ValueError(f"{name} must be (at least 1, {self.width}), got {rows.shape}.")
        return rows

    def norm(self, name: str) -> Norm:
        return Norm(self._vector(f"{name}.weight", self.width), self._vector(f"{name}.bias", self.width))

    def linear(self, *names: str, inputs: int, outputs: int, biased: bool = True) -> Linear:
        """Linear maps of the same rows as one, their outputs one after the other."""
        xp = self.xp
        weights = [self.get(f"{name}.weight", self.dtype) for name in names]
        for name, weight in zip(names, weights, strict=True):
            if weight.shape != (outputs, inputs):
                raise ValueError(f"{name}.weight must be {(outputs, inputs)}, got {weight.shape}.")
        biases = [
            self._vector(f"{name}.bias", outputs)
            if biased or self.has(f"{name}.bias")
            else xp.zeros(outputs, dtype=xp.float32)
            for name in names
        ]
        matrix, bias = xp.concatenate(weights).T, xp.concatenate(biases)
        if xp is not np:
            return Linear(xp.ascontiguousarray(matrix), bias)
        panels = cut(matrix, self.dtype)
        return Linear(panels, np.concatenate([bias, np.zeros(len(panels) * COLUMNS - len(bias), np.float32)]))

    def _vector(self, name: str, length: int) -> Array:
        vector = self.get(name)
        if vector.shape != (length,):
            raise ValueError(f"{name} must be {(length,)}, got {vector.shape}.")
        return vector

    def refuse_others(self) -> None:
        """A tensor that is not understood may change what the encoder means."""
        for name in self.tensors:
            inside = name.startswith(self.prefix) and not name.removeprefix(self.prefix).startswith(_UNUSED)
            if inside and name not in self.used:
                raise ValueError(f"{name} belongs to no BERT or nomic-bert encoder of this many layers.")


def _bert_layers(found: _Tensors, layers: int) -> Iterator[LayerWeights]:
    width = found.width
    for at in (f"encoder.layer.{i}" for i in range(layers)):
        queries = (f"{at}.attention.self.{part}" for part in ("query", "key", "value"))
        found.inner = len(found.get(f"{at}.intermediate.dense.bias"))
        yield LayerWeights(
            qkv=found.linear(*queries, inputs=width, outputs=width),
            attended=found.linear(f"{at}.attention.output.dense", inputs=width, outputs=width),
            attended_norm=found.norm(f"{at}.attention.output.LayerNorm"),
            up=found.linear(f"{at}.intermediate.dense", inputs=width, outputs=found.inner),
            down=found.linear(f"{at}.output.dense", inputs=found.inner, outputs=width),
            out_norm=found.norm(f"{at}.output.LayerNorm"),
        )


def _nomic_layers(found: _Tensors, layers: int) -> Iterator[LayerWeights]:
    width = found.width
    for at in (f"encoder.layers.{i}" for i in range(layers)):
        found.inner = len(found.get(f"{at}.mlp.fc11.weight"))
        gated = (f"{at}.mlp.fc11", f"{at}.mlp.fc12")
        yield LayerWeights(
            qkv=found.linear(f"{at}.attn.Wqkv", inputs=width, outputs=3 * width, biased=False),
            attended=found.linear(f"{at}.attn.out_proj", inputs=width, outputs=width, biased=False),
            attended_norm=found.norm(f"{at}.norm1"),
            up=found.linear(*gated, inputs=width, outputs=found.inner, biased=False),
            down=found.linear(f"{at}.mlp.fc2", inputs=found.inner, outputs=width, biased=False),
            out_norm=found.norm(f"{at}.norm2"),
        )


def _turns(xp: object, longest: int, head: int, base: float) -> Array:
    angles = np.outer(np.arange(longest), base ** -(np.arange(0, head, 2) / head))
    return xp.asarray(np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))  # type: ignore[attr-defined]
