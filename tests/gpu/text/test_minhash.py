"""Signatures against sets worked out by Python itself, and against the probability they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.text.minhash import (
    agreement,
    band_keys,
    hash_functions,
    minhash,
    shared,
    shingles,
    word_hashes,
)

MASK = 2**64 - 1
WORDS = st.lists(st.text(st.characters(blacklist_characters=" ", blacklist_categories=("Cs",)), min_size=1))


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def letters(text):
    return np.frombuffer(text.encode(), np.uint8)


def mixed(value):
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def word_hash(word):
    state = 0xCBF29CE484222325
    for byte in word.encode():
        state = (state ^ byte) * 0x100000001B3 & MASK
    return mixed(state)


def run_hash(words):
    state = 0
    for word in words:
        state = mixed((state + word_hash(word) + 0x9E3779B97F4A7C15) & MASK)
    return state


def runs_of(words, width):
    width = min(width, len(words))
    return {run_hash(words[i : i + width]) for i in range(len(words) - width + 1)} if words else set()


@given(words=WORDS)
def test_every_word_is_hashed_by_its_bytes_alone(words):
    found = word_hashes(letters(" ".join(words)))
    assert found.tolist() == [word_hash(word) for word in words]


def test_spaces_at_the_ends_and_in_a_row_are_no_words():
    assert word_hashes(letters("  one   two ")).tolist() == word_hashes(letters("one two")).tolist()
    assert word_hashes(letters("")).tolist() == word_hashes(letters("   ")).tolist() == []


@given(words=WORDS, width=st.integers(1, 6))
def test_the_set_of_runs_is_that_of_python(xp, words, width):
    hashes = xp.asarray(word_hashes(letters(" ".join(words))))
    assert numpied(shingles(hashes, width)).tolist() == sorted(runs_of(words, width))


@given(n=st.integers(1, 3000), count=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_a_signature_holds_the_least_hash_of_each_function(xp, n, count, seed):
    members = np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)
    members.flags.writeable = False
    functions = hash_functions(count, seed=seed)
    found = numpied(minhash(xp.asarray(members), xp.asarray(functions)))
    expected = [
        min((int(member) * int(factor) + int(summand) & MASK) >> 32 for member in members)
        for factor, summand in functions[:3]
    ]
    assert (found.dtype, found.shape) == (np.uint32, (count,))
    assert found[:3].tolist() == expected


def test_parts_of_a_large_set_give_what_the_whole_gives(xp, monkeypatch):
    monkeypatch.setattr("gpu.text.minhash._PART_CELLS", 64)
    members = np.random.default_rng(0).integers(0, 2**64, 700, dtype=np.uint64)
    functions = hash_functions(16)
    found = numpied(minhash(xp.asarray(members), xp.asarray(functions)))
    np.testing.assert_array_equal(found, minhash(members, functions))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_signatures_agree_as_much_as_their_sets_do(share):
    rng = np.random.default_rng(int(share * 10))
    members = np.unique(rng.integers(0, 2**64, 5000, dtype=np.uint64))
    rng.shuffle(members)
    both = round(share * 4000)
    rest = (4000 - both) // 2
    one, other = (
        members[: both + rest],
        np.concatenate([members[:both], members[both + rest : both + 2 * rest]]),
    )
    functions = hash_functions(1024, seed=3)
    found = agreement(minhash(one, functions), minhash(other, functions)[None])[0]
    # Four standard deviations of 1,024 draws.
    assert abs(found - both / (both + 2 * rest)) <= 4 * np.sqrt(0.25 / 1024)


@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 20),
    rows=st.integers(1, 8),
    changed=st.integers(0, 159),
)
def test_bands_have_equal_keys_exactly_where_they_are_equal(xp, seed, bands, rows, changed):
    one = np.random.default_rng(seed).integers(0, 2**32, bands * rows, dtype=np.uint32)
    other = one.copy()
    other[changed % len(one)] ^= 1
    keys = [numpied(band_keys(xp.asarray(signature), rows)) for signature in (one, other)]
    assert np.flatnonzero(keys[0] != keys[1]).tolist() == [changed % len(one) // rows]
    np.testing.assert_array_equal(keys[0], band_keys(one, rows))


def test_the_same_band_at_another_place_has_another_key():
    keys = band_keys(np.ones(12, np.uint32), 4)
    assert len(set(keys.tolist())) == 3


@given(
    one=st.sets(st.integers(0, 60), max_size=40),
    other=st.sets(st.integers(0, 60), max_size=40),
)
def test_shared_members_are_counted(one, other):
    sets = [np.array(sorted(members), np.uint64) for members in (one, other)]
    assert shared(*sets) == len(one & other)


def test_functions_are_the_same_for_the_same_seed_and_differ_for_another():
    np.testing.assert_array_equal(hash_functions(8), hash_functions(8))
    assert (hash_functions(8) != hash_functions(8, seed=1)).any()
    assert (hash_functions(100)[:, 0] % 2 == 1).all()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda xp: shingles(xp.zeros(3, xp.int64), 2), TypeError),
        (lambda xp: shingles(xp.zeros(3, xp.uint64), 0), ValueError),
        (lambda xp: minhash(xp.zeros(0, xp.uint64), xp.asarray(hash_functions(4))), ValueError),
        (lambda xp: minhash(xp.zeros((2, 2), xp.uint64), xp.asarray(hash_functions(4))), TypeError),
        (lambda xp: band_keys(xp.zeros(10, xp.uint32), 3), ValueError),
        (lambda xp: word_hashes(np.zeros(3, np.int64)), TypeError),
    ],
)
def test_what_is_no_set_of_hashes_is_refused(xp, call, error):
    with pytest.raises(error):
        call(xp)
