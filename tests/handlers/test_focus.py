"""The question that is searched for by meaning leaves out names that are everywhere, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from handlers.focus import COMMON, FEW, blended, focused
from handlers.terms import terms

CLAUSES = 400
EVERYWHERE = dict.fromkeys(terms("Receiving Party's Confidential Information plan"), CLAUSES // 2)


@pytest.mark.parametrize(
    ("question", "left"),
    [
        (
            "The Receiving Party's staff may copy Confidential Information.",
            "The staff may copy .",
        ),
        ("Which plan shows Ada?", "Which plan shows Ada?"),
        ("May the receiving party copy it?", "May the receiving party copy it?"),
        ("What of the Receiving Party?", "What of the Receiving Party?"),
        ("  ", "  "),
        ("", ""),
    ],
    ids=["names", "a common word is no name", "small letters", "nothing else is asked", "blank", "empty"],
)
def test_common_names_are_left_out_and_nothing_else(question: str, left: str) -> None:
    assert focused(question, EVERYWHERE, CLAUSES) == left


@pytest.mark.parametrize("chunks", [10, CLAUSES])
def test_a_name_counts_as_common_above_a_share_and_a_number_of_chunks(chunks: int) -> None:
    least = int(max(COMMON * chunks, FEW))
    assert focused("Did Ada sign?", {"ada": least}, chunks) == "Did Ada sign?"
    assert focused("Did Ada sign?", {"ada": least + 1}, chunks) == "Did sign?"


def test_a_word_broken_over_two_lines_is_left_out_once() -> None:
    broken = "Did the Recei-\nving company sign?"
    everywhere = dict.fromkeys(terms(broken), CLAUSES) | {"compani": 0, "sign": 0, "company": 0}
    assert focused(broken, everywhere, CLAUSES) == "Did the company sign?"


def test_the_mean_of_vectors_has_unit_length() -> None:
    first, second = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    np.testing.assert_allclose(blended(np.stack([first, second])), [0.5**0.5, 0.5**0.5, 0], atol=1e-6)
    np.testing.assert_array_equal(blended(first[None]), first)
    np.testing.assert_array_equal(blended(np.stack([first, -first])), first)
