"""Documents and questions are cut into the same terms."""

import pytest

from handlers.terms import STOP_WORDS, counts, normal, terms, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Agreement", "agreements"),
        ("agreed", "agrees"),
        ("planning", "plans"),
        ("admitted", "admitting"),
        ("Müller", "MULLER’S"),
        ("applied", "applies"),
        ("rated", "rating"),
        ("controlled", "controls"),
        ("naïve", "naive"),
        ("O'Brien", "OBrien"),
    ],
)
def test_forms_of_a_word_are_one_term(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(("one", "other"), [("state", "station"), ("P104", "P105"), ("class", "clause")])
def test_different_words_stay_different(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def test_stop_words_go_and_names_and_numbers_stay() -> None:
    assert terms("The memo of 3 May was sent to Ann Orr for $1,250,000.") == [
        "memo", "3", "may", "sent", "ann", "orr", "1250000",
    ]  # fmt: skip


def test_a_stop_word_is_one_in_any_writing() -> None:
    assert terms("Don't THE Wouldn’t") == []
    assert "the" in STOP_WORDS


def test_a_word_broken_over_two_lines_counts_in_parts_and_whole() -> None:
    assert counts("the settle-\nment") == {"settl": 2, "ment": 1}


def test_a_decomposed_accent_does_not_split_a_word() -> None:
    assert terms("re\u0301sume\u0301") == ["resum"] == terms("résumé")


def test_scripts_without_spaces_count_in_pairs() -> None:
    assert terms("東京都") == ["東京", "京都"]


def test_a_token_tells_its_place() -> None:
    text = "Pay 1,000 to Zoë."
    assert [text[t.start : t.end] for t in tokens(text)] == ["Pay", "1,000", "Zoë"]
