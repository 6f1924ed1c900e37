"""The steps between products against the mathematics library, number by number."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpu.text import encoder_cpu
from gpu.text.attention_cpu import attend
from gpu.text.softmax_cpu import softmax_columns
from gpu.text.tiles import COLUMNS
from tests.gpu.text.checkpoints import attention


def test_the_polynomial_gelu_is_exact_to_float32():
    x = np.concatenate([np.linspace(-40, 40, 4001), np.linspace(-1, 1, 2001)]).astype(np.float32)
    rows = np.concatenate([x, [np.nan]]).astype(np.float32)[None]
    encoder_cpu.gelu(rows, x.size)
    exact = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    np.testing.assert_allclose(rows[0, :-1], exact, atol=1e-6, rtol=3e-7)
    assert np.isnan(rows[0, -1])


def test_the_gate_is_exact_to_float32():
    gates = np.linspace(-100, 100, 4001).astype(np.float32)
    rows = np.stack([np.full_like(gates, 1.5), gates])[None].reshape(1, -1)
    encoder_cpu.gate(rows, gates.size)
    wide = gates.astype(np.float64)
    np.testing.assert_allclose(rows[0, : gates.size], 1.5 * wide / (1 + np.exp(-wide)), atol=1e-30, rtol=1e-5)


@given(length=st.integers(1, 70), spread=st.sampled_from([0.0, 1.0, 40.0, 1000.0]), seed=st.integers(0, 99))
def test_the_polynomial_softmax_is_exact_to_float32(length, spread, seed):
    scores = np.random.default_rng(seed).normal(0, spread, (length, COLUMNS)).astype(np.float32)
    below = scores.astype(np.float64) - scores.max(axis=0)
    got, totals = scores.reshape(-1).copy(), np.empty(COLUMNS, np.float32)
    softmax_columns(got, length, totals)
    got = got.reshape(scores.shape)
    np.testing.assert_allclose(got, 2.0**below, rtol=2e-5, atol=1e-30)
    np.testing.assert_allclose(totals, got.sum(axis=0), rtol=1e-5)
    assert got.min() > 1e7 * np.finfo(np.float32).tiny  # no product of it becomes subnormal


@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=3),
    size=st.sampled_from([2, 8, 32, 40, 64]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_attention_agrees_with_straight_algebra_for_any_part_of_the_rows(lengths, size, seed, data):
    heads, width, tokens = 2, 2 * size, sum(lengths)
    qkv = np.random.default_rng(seed).normal(size=(tokens, 3 * width + 5)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    first = data.draw(st.integers(0, tokens - 1))
    last = data.draw(st.integers(first + 1, tokens))
    out = np.full((last - first, width + 3), np.nan, np.float32)
    attend(qkv, starts, first, last, heads, width, out)
    parts = np.split(qkv[:, : 3 * width].astype(np.float64), 3, axis=1)
    texts = [slice(*edge) for edge in pairwise(starts)]
    exact = np.concatenate([attention(*(part[text] for part in parts), heads) for text in texts])
    np.testing.assert_allclose(out[:, :width], exact[first:last], atol=5e-6)
    assert np.isnan(out[:, width:]).all()


def test_numbers_far_apart_in_a_row_are_normalised():
    rows = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    residual = np.linspace(-100, 100, 150).reshape(3, 50).astype(np.float32)
    x = rows.astype(np.float64) + residual
    exact = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 0.5) * 2 + 1
    encoder_cpu.normalise(rows, residual, np.full(50, 2, np.float32), np.ones(50, np.float32), 0.5)
    np.testing.assert_allclose(rows, exact, atol=1e-5)
