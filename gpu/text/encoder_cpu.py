"""On the CPU the rows of a pass are shared out between threads, which meet once a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np

from gpu.arrays import Array, Floats, Integers
from gpu.compiling import kernel, reordering_kernel
from gpu.text.attention_cpu import attend, rotate
from gpu.text.polynomials import polynomial
from gpu.text.softmax_cpu import exp2
from gpu.text.tiles import COLUMNS, as_floats, multiply
from gpu.text.weights import BertWeights, Linear
from gpu.threads import side_by_side, threads

GROUP_TOKENS = 256
"""Tokens of the texts that a thread takes through all layers without meeting another."""

PART_TOKENS = 256
"""Most rows that go through a layer at a time: what they become should stay in the thread's cache,
and the layer's weights are read anew for each part."""


def _erf_over_z(s: float) -> float:
    """erf(z) / z where z² = 8 s + 8, so that s in [-1, 1] stands for z in [0, 4]."""
    z = math.sqrt(8.0 * s + 8.0)
    return math.erf(z) / z


# Written out where it is used: LLVM leaves a loop over coefficients as it is, six times slower. The
# error is 2e-7 in float32, most of it rounding.
_ERF = tuple(np.float32(c) for c in polynomial(_erf_over_z, 16))


@kernel
def embed(
    words: Array, ids: Integers, places: Floats, at: Integers, scale: Floats, shift: Floats, epsilon: float,
    out: Floats,
) -> None:  # fmt: skip
    """Set each row of `out` to the normalised sum of its token's and its place's embedding.

    Args:
        words: (vocabulary, h), float32, or float16 held as uint16, C order.
        ids: (rows,), checked by the caller.
        places: (places, h), float32.
        at: (rows,), the place of each row, checked by the caller.
        out: (rows, at least h), float32.
    """
    width = words.shape[1]
    stored, room = words.reshape(-1), np.empty(width, np.float32)
    for row in range(len(out)):
        word, first = as_floats(stored, ids[row] * width, width, room)
        for i in range(width):
            out[row, i] = word[first + i]
        normalise(out[row : row + 1], places[at[row] : at[row] + 1], scale, shift, epsilon)


@reordering_kernel
def normalise(rows: Floats, residual: Floats, scale: Floats, shift: Floats, epsilon: float) -> None:
    """Set `rows` to the layer normalisation of `rows + residual`; (tokens, at least h), float32."""
    width = len(scale)
    for row in range(rows.shape[0]):
        x, kept = rows[row], residual[row]
        total = np.float32(0.0)
        for i in range(width):
            x[i] += kept[i]
            total += x[i]
        mean = total / np.float32(width)
        spread = np.float32(0.0)
        for i in range(width):
            spread += (x[i] - mean) * (x[i] - mean)
        factor = np.float32(1.0 / math.sqrt(spread / width + epsilon))
        for i in range(width):
            x[i] = (x[i] - mean) * factor * scale[i] + shift[i]


@reordering_kernel
def gelu(rows: Floats, width: int) -> None:
    """Set the first `width` numbers x of each row to x Φ(x); float32."""
    half, eighth, one = np.float32(0.5), np.float32(0.125), np.float32(1.0)
    root, limit = np.float32(math.sqrt(0.5)), np.float32(4.0)
    for row in range(rows.shape[0]):
        line = rows[row, :width]
        for i in range(width):
            x = line[i]
            z = min(max(x * root, -limit), limit)
            s = z * z * eighth - one
            e = (_ERF[16] * s + _ERF[15]) * s + _ERF[14]
            e = ((e * s + _ERF[13]) * s + _ERF[12]) * s + _ERF[11]
            e = ((e * s + _ERF[10]) * s + _ERF[9]) * s + _ERF[8]
            e = ((e * s + _ERF[7]) * s + _ERF[6]) * s + _ERF[5]
            e = ((e * s + _ERF[4]) * s + _ERF[3]) * s + _ERF[2]
            line[i] = half * x * (one + z * ((e * s + _ERF[1]) * s + _ERF[0]))


@reordering_kernel
def gate(rows: Floats, width: int) -> None:
    """Multiply the first `width` numbers of each row by the SiLU g / (1 + e^-g) of the next `width`."""
    one, least = np.float32(1.0), np.float32(-120.0)
    to_base_2 = np.float32(-math.log2(math.e))
    for row in range(rows.shape[0]):
        line, gates = rows[row, :width], rows[row, width : 2 * width]
        for i in range(width):
            g = gates[i]
            line[i] *= g / (one + exp2(min(max(g * to_base_2, least), -least)))


@kernel
def add_up(rows: Floats, starts: Integers, out: Floats) -> None:
    """Set each row of `out`, (texts, h), to the sum of its text's rows."""
    out[...] = 0
    for text in range(len(out)):
        total = out[text]
        for row in range(starts[text], starts[text + 1]):
            line = rows[row]
            for i in range(out.shape[1]):
                total[i] += line[i]


def forward(weights: BertWeights, ids: Integers, places: Integers, starts: Integers, pooling: str) -> Floats:
    """Pool the last layer's rows of each text; `gpu.text.encoder.Device` tells the rest."""
    pooled = np.empty((len(starts) - 1, weights.width), np.float32)
    rooms: list[_Room] = []

    def run(texts: slice, *, alone: bool) -> None:
        first, last = starts[texts.start], starts[texts.stop]
        inside = starts[texts.start : texts.stop + 1] - first
        room = rooms.pop() if rooms else _Room(weights)
        hidden = _rows(weights, ids[first:last], places[first:last], inside, room, alone=alone)
        if pooling == "cls":
            pooled[texts] = hidden[inside[:-1], : weights.width]
        else:
            add_up(hidden, inside, pooled[texts])
        rooms.append(room)

    groups = _groups(starts)
    # Groups that leave no thread idle run side by side; each of the others is shared by all threads.
    even = len(groups) - len(groups) % threads()
    side_by_side(lambda texts: run(texts, alone=False), groups[:even])
    for texts in groups[even:]:
        run(texts, alone=True)
    return pooled


def required_bytes(weights: BertWeights, tokens: int, longest: int, texts: int) -> int:
    """Memory that a batch takes, in bytes; `gpu.text.batching.required_bytes` tells the rest."""
    rows = max(longest, min(tokens, GROUP_TOKENS))
    across = sum(_Room(weights).widths.values()) + COLUMNS  # and its scores
    panel = COLUMNS * max(weights.width, weights.inner)
    return 4 * threads() * (rows * across + 2 * panel) + tokens * 48 + texts * 8 * (weights.width + 4)


class _Room:
    """Memory for what becomes of rows; kept, since fresh memory costs more than a layer's attention."""

    def __init__(self, weights: BertWeights) -> None:
        layer = weights.layers[0]
        self.widths = {
            "hidden": len(layer.down.bias),
            "qkv": len(layer.qkv.bias),
            "next qkv": len(layer.qkv.bias),
            "context": len(layer.down.bias),
            "mixed": len(layer.attended.bias),
            "wide": len(layer.up.bias),
        }
        self.arrays: dict[str, Floats] = {}

    def rows(self, name: str, count: int) -> Floats:
        """`count` rows of the named kind, as an earlier call left them or arbitrary."""
        if name not in self.arrays or len(self.arrays[name]) < count:
            self.arrays[name] = np.empty((count, self.widths[name]), np.float32)
        return self.arrays[name][:count]


def _rows(
    weights: BertWeights, ids: Integers, places: Integers, starts: Integers, room: _Room, *, alone: bool
) -> Floats:
    """The last layer's rows, (tokens, at least h); `alone`: with the help of all threads."""
    tokens, heads, width = len(ids), weights.heads, weights.width
    words = weights.words.view(np.uint16) if weights.words.dtype == np.float16 else weights.words
    at_places = places if len(weights.turns) == 0 else np.zeros_like(places)
    hidden, context, mixed, wide = (
        room.rows(name, tokens) for name in ("hidden", "context", "mixed", "wide")
    )
    # A thread still reads the queries, keys and values of a layer while another writes the next.
    qkvs = room.rows("qkv", tokens), room.rows("next qkv", tokens)

    def begin(part: slice) -> None:
        embed(
            words, ids[part], weights.places, at_places[part], weights.norm.scale, weights.norm.shift,
            weights.epsilon, hidden[part],
        )  # fmt: skip
        prepare(part, 0)

    def prepare(part: slice, layer: int) -> None:
        qkv = qkvs[layer % 2][part]
        _product(hidden[part], weights.layers[layer].qkv, qkv)
        if len(weights.turns):
            rotate(qkv, places[part], weights.turns, heads, width)

    def finish(layer: int, part: slice) -> None:
        at = weights.layers[layer]
        attend(qkvs[layer % 2], starts, part.start, part.stop, heads, width, context[part])
        _product(context[part], at.attended, mixed[part])
        normalise(mixed[part], hidden[part], at.attended_norm.scale, at.attended_norm.shift, weights.epsilon)
        _product(mixed[part], at.up, wide[part])
        (gate if weights.gated else gelu)(wide[part], weights.inner)
        _product(wide[part], at.down, hidden[part])
        normalise(hidden[part], mixed[part], at.out_norm.scale, at.out_norm.shift, weights.epsilon)
        if layer + 1 < len(weights.layers):
            prepare(part, layer + 1)

    parts = _parts(tokens, threads() if alone else 1)
    share = side_by_side if alone else _in_turn
    share(begin, parts)
    for layer in range(len(weights.layers)):
        share(partial(finish, layer), parts)
    return hidden


def _in_turn(work: Callable[[slice], None], parts: list[slice]) -> None:
    for part in parts:
        work(part)


def _groups(starts: Integers) -> list[slice]:
    """Texts that go through all layers together: as many as fit in GROUP_TOKENS, or a longer one."""
    groups, first = [], 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + GROUP_TOKENS, side="right")) - 1
        groups.append(slice(first, max(last, first + 1)))
        first = groups[-1].stop
    return groups


def _parts(tokens: int, among: int) -> list[slice]:
    """Rows in equal parts, as many for one thread as for another: no bit depends on how they are cut.

    A part of fewer than 20 rows would take as long as one of 20, most of it reading the weights.
    """
    rounds = -(-tokens // (PART_TOKENS * among))
    count = min(rounds * among, max(1, tokens // 20))
    edges = [tokens * i // count for i in range(count + 1)]
    return [slice(*edge) for edge in pairwise(edges)]


def _product(rows: Floats, by: Linear, out: Floats) -> None:
    """Set `out` to the linear map of `rows`."""
    stored = by.matrix.view(np.uint16) if by.matrix.dtype == np.float16 else by.matrix
    multiply(rows, stored, by.bias, out)
