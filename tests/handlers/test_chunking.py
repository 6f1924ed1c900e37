"""Chunks keep their places, never cross a page and lose nothing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from handlers.chunking import TARGET, cut, estimate
from handlers.parsing.parsed import Line
from handlers.sentences import sentences

WORDS = st.sampled_from(
    [
        "alpha",
        "Beta",
        "gamma.",
        "Delta?",
        "42",
        "Mr.",
        "U.S.",
        "—",
        "x" * 90,
        "漢字",
        "\n",
        "\n\n",
        "é́",
        "(z)",
    ]
)
TEXTS = st.lists(WORDS, max_size=120).map(" ".join)


@given(st.lists(TEXTS, max_size=4), st.integers(5, 60))
def test_chunks_hold_their_text_and_together_all_of_it(parts: list[str], target: int) -> None:
    text, pages = "", []
    for part in parts:
        pages.append((len(text), len(text) + len(part)))
        text += part + "\n\n"
    chunks = cut(text, pages, target=target)
    held: set[int] = set()
    for i, chunk in enumerate(chunks):
        assert chunk.ordinal == i
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip() != ""
        start, end = pages[chunk.page - 1]
        assert start <= chunk.start < chunk.end <= end
        held.update(range(chunk.start, chunk.end))
    assert {i for i, c in enumerate(text) if not c.isspace()} <= held
    assert [(c.start, c.end) for c in chunks] == sorted({(c.start, c.end) for c in chunks})


@given(TEXTS)
def test_sentences_hold_all_but_space(text: str) -> None:
    found = list(sentences(text))
    assert "".join(text[s.start : s.end] for s in found).replace(" ", "").replace("\n", "") == text.replace(
        " ", ""
    ).replace("\n", "")


def test_a_chunk_ends_with_a_sentence_and_the_next_repeats_a_short_one() -> None:
    text = " ".join(f"This is sentence number {i} of a long story about nothing at all." for i in range(60))
    chunks = cut(text)
    assert len(chunks) > 2
    assert all(chunk.text.endswith("all.") for chunk in chunks)
    for before, after in pairwise(chunks):
        assert after.start < before.end
        assert text[after.start : before.end].count(".") == 1
        assert estimate(before.text) <= TARGET


def test_abbreviations_end_no_sentence() -> None:
    text = "Mr. Roe met J. Orr of Acme Inc. at 5 p.m. It was late. MR. POE: No. 5 was his."
    assert [text[s.start : s.end] for s in sentences(text)] == [
        "Mr. Roe met J. Orr of Acme Inc. at 5 p.m.",
        "It was late.",
        "MR. POE: No. 5 was his.",
    ]


def test_a_tiny_rest_joins_the_chunk_before() -> None:
    text = "One two three four five six seven eight nine ten. " * 20 + "End."
    chunks = cut(text, target=100)
    assert chunks[-1].text.endswith("End.")
    assert estimate(chunks[-1].text) > 40


def test_a_page_a_little_too_long_becomes_two_like_chunks() -> None:
    page = "One two three four five six seven eight nine. " * 25
    assert TARGET < estimate(page) < 1.5 * TARGET
    sizes = [estimate(chunk.text) for chunk in cut(page, [(0, len(page))])]
    assert len(sizes) == 2
    assert min(sizes) > 0.6 * max(sizes)


def test_text_without_any_end_is_cut_all_the_same() -> None:
    assert [len(c.text) for c in cut("y" * 5000, target=200)] == [200] * 25 or all(
        estimate(c.text) <= 2 * 200 for c in cut("y" * 5000, target=200)
    )
    table = "\n".join(f"{i} | {i * i} | value" for i in range(300))
    assert all(chunk.text.startswith(tuple("0123456789")) for chunk in cut(table))
    assert max(estimate(chunk.text) for chunk in cut(table)) <= TARGET + 40


def test_boxes_are_those_of_the_lines_that_the_chunk_touches() -> None:
    page1, page2 = "one one\ntwo two", "three"
    text = f"{page1}\n\n{page2}"
    lines = [
        Line(1, 0, 7, (0, 0, 9, 1)),
        Line(1, 8, 15, (0, 1, 9, 2)),
        Line(2, 17, 22, (5, 5, 9, 6)),
    ]
    first, second = cut(text, [(0, 15), (17, 22)], lines)
    assert first.boxes == [[0, 0, 9, 1], [0, 1, 9, 2]]
    assert second.boxes == [[5, 5, 9, 6]]
    assert (first.page, second.page) == (1, 2)
