"""A quotation around a name ends between words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.name_suggestions import AROUND, _between_words


@given(st.text("ab \n", max_size=400), st.data())
def test_no_word_beside_the_name_is_cut(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    left, right = _between_words(text, start, end)
    assert max(0, start - AROUND) <= left <= start
    assert end <= right <= min(len(text), end + AROUND)
    assert left in (0, start) or text[left].isspace() or text[left - 1].isspace()
    assert right in (end, len(text)) or text[right].isspace() or text[right - 1].isspace()


def test_a_short_text_is_quoted_in_whole() -> None:
    assert _between_words("Captain Ole Falk said so.", 8, 16) == (0, 25)
