"""How alike two texts are: the runs of words that they share."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gpu.arrays import Integers
from gpu.text.minhash import band_keys, hash_functions, minhash, shingles, word_hashes

Hashes = NDArray[np.uint64]

WIDTH = 3
"""Words of a run. Longer runs tell texts apart no better, and every misread letter costs more of them."""
PLACES, ROWS = 126, 3
"""Of a signature, and of each of its bands: a pair that shares half of its runs meets with a probability of
0.996, one that shares 0.3 with 0.69, one that shares 0.05 with 0.005."""

_WORD = re.compile(r"\w+")


def runs_of(text: str) -> Hashes:
    """The set of runs of words in a text, as rising hashes.

    Case and punctuation tell nothing apart. Addresses are left out: two forwarded mails to one long
    list of people would be alike by that list alone.
    """
    if "@" in text:
        text = " ".join(word for word in text.split() if "@" not in word)
    words = " ".join(_WORD.findall(text.casefold())).encode()
    runs: Hashes = shingles(word_hashes(np.frombuffer(words, np.uint8)), WIDTH)
    return runs


def signature_of(runs: Hashes) -> NDArray[np.uint32]:
    """The signature of a set that is not empty."""
    signature: NDArray[np.uint32] = minhash(runs, _functions())
    return signature


def bands_of(signature: NDArray[np.uint32]) -> list[int]:
    """The keys by which what is alike is found, as PostgreSQL's signed numbers."""
    keys: list[int] = band_keys(signature, ROWS).view(np.int64).tolist()
    return keys


@cache
def _functions() -> Integers:
    return hash_functions(PLACES)
