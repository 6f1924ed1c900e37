"""What repeats itself is told from what only holds the same word often, however the pieces come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.repeating import LEAST, LONGEST_UNIT, TIMES, Repetition, repeats

PROSE = " ".join(
    f"On day {i} Orla Finch signed for crate {i * 31 % 97} at gate {i % 7}, and nobody asked her why."
    for i in range(40)
)


@given(unit=st.text(alphabet="ab .\n", min_size=1, max_size=60), before=st.sampled_from(["", "Ada. ", PROSE]))
def test_a_unit_written_again_and_again_is_found_whatever_stood_before(unit: str, before: str) -> None:
    assert repeats(before + unit * max(TIMES, -(-LEAST // len(unit))))


@given(unit=st.text(alphabet="abc", min_size=1, max_size=30), times=st.integers(1, TIMES - 1))
def test_a_few_times_are_no_repetition(unit: str, times: int) -> None:
    assert not repeats((unit * times)[: LEAST - 1])
    assert not repeats(PROSE + "Signed by Ada Berg at nine, as the log says. " * (TIMES - 1))


@pytest.mark.parametrize("size", [1, 7, 60, 1000])
def test_text_is_let_through_and_repetition_ended_whatever_the_pieces(size: int) -> None:
    def heard(text: str) -> int | None:
        repetition = Repetition()
        for i in range(0, len(text), size):
            if repetition.heard(text[i : i + size]):
                return i
        return None

    draw = random.Random(7)
    assert heard(PROSE) is None
    assert heard("".join(draw.choice("abcdef .") for _ in range(20_000))) is None
    unit = "The gate was open and the guard was away. " * (LONGEST_UNIT // 84)
    found = heard(PROSE + unit * 30)
    assert found is not None
    assert found <= len(PROSE) + TIMES * LONGEST_UNIT + max(size, 120)
