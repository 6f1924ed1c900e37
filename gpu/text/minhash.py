"""Sets of word runs, and short signatures that tell how much two such sets have in common."""

from __future__ import annotations

import numpy as np

from gpu.arrays import Array, Integers, array_namespace
from gpu.compiling import kernel

_SPACE = 32
_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_STEP, _MIX_1, _MIX_2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
_PART_CELLS = 1 << 22
"""Hashes that are held at once on a GPU."""

_BLOCK = 512
"""Members whose hashes are taken together on the CPU: they stay in the nearest cache."""


def word_hashes(letters: Integers) -> Integers:
    """Hash each word of a text.

    Args:
        letters: Shape (n,), uint8, on the host: words in UTF-8, parted by single spaces.

    Returns:
        Shape (words,), uint64, in the order of the text.

    Raises:
        TypeError: Another dtype.

    Source: Fowler, Noll & Vo (FNV-1a), its last step that of Steele et al., OOPSLA 2014 (SplitMix).
    """
    if letters.dtype != np.uint8 or letters.ndim != 1:
        raise TypeError(f"Expected bytes of shape (n,), got {letters.dtype} of shape {letters.shape}.")
    found = np.empty(int(np.count_nonzero(letters == _SPACE)) + 1, np.uint64)
    return found[: _hash_words(letters, found)]


def shingles(words: Array, width: int) -> Array:
    """Return the set of runs of `width` words; a shorter text is one run.

    Args:
        words: Shape (n,), uint64, as `word_hashes` gives them.
        width: Words of a run, at least 1.

    Returns:
        Shape (members,), uint64, rising, without repetition; empty where there are no words.

    Raises:
        TypeError: Another dtype.
        ValueError: `width` is less than 1.
    """
    xp = array_namespace(words)
    _check(words)
    if width < 1:
        raise ValueError(f"A run has one word at least, not {width}.")
    if len(words) == 0:
        return words[:0]
    width = min(width, len(words))
    count = len(words) - width + 1
    runs = xp.zeros(count, xp.uint64)
    for place in range(width):
        runs = _mixed(runs + words[place : place + count])
    return xp.unique(runs)


def hash_functions(count: int, *, seed: int = 0) -> Integers:
    """Return `count` pairs of factor and summand, shape (count, 2), uint64, the same for the same seed."""
    pairs = np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)
    pairs[:, 0] |= np.uint64(1)
    return pairs


def minhash(members: Array, functions: Array) -> Array:
    """Return the least hash of a set under each function: its signature.

    Two signatures agree in as large a share of their places, on average, as the sets have of their
    union in common.

    Args:
        members: Shape (n,), uint64, well mixed, as `shingles` gives them; at least one.
        functions: Shape (k, 2), uint64, from `hash_functions`, on the device of `members`.

    Returns:
        Shape (k,), uint32.

    Raises:
        TypeError: Another dtype, or arrays of two libraries.
        ValueError: The set is empty.

    Source: Broder, SEQUENCES 1997; Dietzfelbinger et al., J. Algorithms 1997 (multiply and shift).
    """
    xp = array_namespace(members, functions)
    _check(members)
    if len(members) == 0:
        raise ValueError("An empty set has no signature.")
    if xp is np:
        least = np.full(len(functions), 0xFFFFFFFF, np.uint32)
        _least_hashes(np.ascontiguousarray(members), np.ascontiguousarray(functions), least)
        return least
    factors, summands = functions[None, :, 0], functions[None, :, 1]
    least = xp.full(len(functions), 0xFFFFFFFF, xp.uint64)
    step = max(1, _PART_CELLS // len(functions))
    for first in range(0, len(members), step):
        hashes = (members[first : first + step, None] * factors + summands) >> xp.uint64(32)
        least = xp.minimum(least, hashes.min(axis=0))
    return least.astype(xp.uint32)


def band_keys(signature: Array, rows: int) -> Array:
    """Return one key for each band of `rows` places; equal bands at the same place have equal keys.

    Two sets that share a part `s` of their union share a key with probability 1 - (1 - s^rows)^bands.

    Args:
        signature: Shape (k,), uint32; `rows` divides k.

    Returns:
        Shape (k / rows,), uint64.

    Raises:
        ValueError: `rows` does not divide the signature.

    Source: Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4.
    """
    xp = array_namespace(signature)
    if rows < 1 or len(signature) % rows:
        raise ValueError(f"Bands of {rows} do not divide a signature of {len(signature)} places.")
    bands = signature.reshape(-1, rows).astype(xp.uint64)
    keys = _mixed(xp.arange(len(bands), dtype=xp.uint64))
    for place in range(rows):
        keys = _mixed(keys + bands[:, place])
    return keys


def agreement(signature: Array, others: Array) -> Array:
    """The share of places in which each of `others`, shape (n, k), agrees with `signature`; float64."""
    xp = array_namespace(signature, others)
    return (others == signature[None, :]).mean(axis=1, dtype=xp.float64)


def shared(one: Integers, other: Integers) -> int:
    """How many members two sets, rising and without repetition, have in common; on the host."""
    return int(_count_shared(one, other))


def _check(hashes: Array) -> None:
    if hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise TypeError(f"Expected uint64 of shape (n,), got {hashes.dtype} of shape {hashes.shape}.")


def _mixed(hashes: Array) -> Array:
    hashes = hashes + _STEP
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX_1
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX_2
    return hashes ^ (hashes >> np.uint64(31))


@kernel
def _hash_words(letters: Integers, found: Integers) -> int:
    count = 0
    inside = False
    state = _OFFSET
    for place in range(len(letters) + 1):
        if place < len(letters) and letters[place] != _SPACE:
            state = (state ^ np.uint64(letters[place])) * _PRIME
            inside = True
        elif inside:
            state = (state ^ (state >> np.uint64(30))) * _MIX_1
            state = (state ^ (state >> np.uint64(27))) * _MIX_2
            found[count] = state ^ (state >> np.uint64(31))
            count += 1
            inside = False
            state = _OFFSET
    return count


@kernel
def _least_hashes(members: Integers, functions: Integers, least: Integers) -> None:
    for first in range(0, len(members), _BLOCK):
        last = min(first + _BLOCK, len(members))
        for at in range(len(functions)):
            factor, summand = functions[at, 0], functions[at, 1]
            low = np.uint64(least[at])
            for place in range(first, last):
                low = min(low, (members[place] * factor + summand) >> np.uint64(32))
            least[at] = np.uint32(low)


@kernel
def _count_shared(one: Integers, other: Integers) -> int:
    count = i = j = 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            count += 1
            i += 1
            j += 1
        elif one[i] < other[j]:
            i += 1
        else:
            j += 1
    return count
