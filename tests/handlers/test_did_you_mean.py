"""What was meant is found among a case's own words, and what the case has is never corrected."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.did_you_mean import Lexicon, did_you_mean
from handlers.spelling import distance, keys_of, shape_of
from handlers.terms import normal
from storage.graph import Name

PEOPLE = (
    "Marit Solheim", "Piet Osmanov", "Lene Dahlberg", "Jürgen Müllner", "Zoë Quibbleworth", "Anton Щербанов",
    "Ignaz Pfefferkorn", "Carla Dornbusch", "Milton Farnham", "Oonagh Kilbride", "Sören Åkerblom",
    "Tobias Klimt-Brandauer", "Ελένη Καραμάνου", "Vasily Хрулёв", "Rosalind Thackeray", "Bjarne Højgaard",
    "Wendell Cromarty", "Xiomara Beltrano", "Fyodor Chernyshev", "Delphine Maurois",
)  # fmt: skip
FIRMS = ("Vanter Holding", "Brask Quarry", "Ellipsis Cartage", "Northmoor Zinc", "Halcyon Bonding")
TERMS = ("detonators", "invoices", "kilograms", "consulting", "approval", "harbour", "ledger", "payments")

SLIPS = {
    # keys
    "Solhrim": "Solheim", "Slohiem": "Solheim", "Quibblewotrh": "Quibbleworth", "Pfeferkorn": "Pfefferkorn",
    "Dornbuch": "Dornbusch", "Thackery": "Thackeray", "Kilbrode": "Kilbride", "Beltranno": "Beltrano",
    "Cromatry": "Cromarty", "Rosalimd": "Rosalind", "Wendel": "Wendell", "Cartsge": "Cartage",
    "Vqnter": "Vanter", "Nortmhoor": "Northmoor", "Haclyon": "Halcyon", "invioces": "invoices",
    "Xiomera": "Xiomara", "Osmanof": "Osmanov",
    # scanners
    "So1heim": "Solheim", "Solheirn": "Solheim", "Fambam": "Farnham", "Famham": "Farnham",
    "Clornbusch": "Dornbusch", "vVendell": "Wendell", "0onagh": "Oonagh", "K1imt": "Klimt",
    "ECLipsis": "Ellipsis", "Dah1berg": "Dahlberg", "MiIton": "Milton", "Rosa1ind": "Rosalind",
    # alphabets
    "Mullner": None, "Muellner": "Müllner", "Soren": None, "Soeren": "Sören", "Aakerblom": "Åkerblom",
    "Shcherbanov": "Щербанов", "Scherbanov": "Щербанов", "Khrulev": "Хрулёв", "Chrulyov": "Хрулёв",
    "Karamanou": "Καραμάνου", "Hojgaard": None, "Hoejgaard": "Højgaard", "Chernyschew": "Chernyshev",
    "Tschernyshev": "Chernyshev",
    # ear
    "Morois": "Maurois", "Vasilly": "Vasily", "Brandower": "Brandauer", "Delfine": "Delphine",
}  # fmt: skip
"""As written → as meant; None where a search finds the one by the other anyway."""


def named(*names: str, kind: str = "person", accepted: bool = False) -> list[Name]:
    return [Name(i, kind, name, (i,), accepted) for i, name in enumerate(names, 1)]


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon([*named(*PEOPLE), *named(*FIRMS, kind="organisation")], TERMS)


def terms_of_case() -> set[str]:
    return {normal(word) for text in (*PEOPLE, *FIRMS, *TERMS) for word in text.replace("-", " ").split()}


def test_misspelt_names_are_told(lexicon: Lexicon) -> None:
    asked = {written: meant for written, meant in SLIPS.items() if meant}
    assert len(asked) >= 30
    told = {written: lexicon.near(written) for written in asked}
    wrong = {
        written: (found, asked[written]) for written, found in told.items() if found[:1] != [asked[written]]
    }
    within = sum(asked[written] in found for written, found in told.items())
    print(f"first: {len(asked) - len(wrong)} of {len(asked)}; among three: {within}; wrong: {wrong}")
    assert len(wrong) <= len(asked) // 20


def test_generated_slips_of_the_hand_are_undone(lexicon: Lexicon) -> None:
    random.seed(11)
    rows = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    right = tried = 0
    for name, kind in product((*PEOPLE, *FIRMS), ("swap", "drop", "double", "neighbour")):
        word = max(name.replace("-", " ").split(), key=len)
        if not word.isascii():
            continue
        i = random.randrange(1, len(word) - 1)
        row = next(row for row in rows if word[i].lower() in row)
        beside = row[max(0, row.index(word[i].lower()) - 1)]
        slip = {
            "swap": word[:i] + word[i + 1] + word[i] + word[i + 2 :],
            "drop": word[:i] + word[i + 1 :],
            "double": word[:i] + word[i] + word[i:],
            "neighbour": word[:i] + beside + word[i + 1 :],
        }[kind]
        if slip == word:
            continue
        tried += 1
        right += lexicon.near(slip)[:1] == [word]
    print(f"generated: {right} of {tried} first")
    assert tried >= 60
    assert right >= 0.97 * tried


@pytest.mark.parametrize("question", ["What did Marit Solheim tell Piet?", "Who paid for the detonators?"])
def test_what_the_case_has_is_left_alone(lexicon: Lexicon, question: str) -> None:
    assert did_you_mean(question, lexicon, terms_of_case()).slips == []


def test_a_rare_word_of_the_evidence_is_no_slip(lexicon: Lexicon) -> None:
    assert did_you_mean("Where is Solheid?", lexicon, set()).question == "Where is Solheim?"
    assert did_you_mean("Where is Solheid?", lexicon, {normal("Solheid")}).question == ""


@pytest.mark.parametrize("written", ["Mullner", "Soren", "marit solheim", "SOLHEIM"])
def test_what_a_search_finds_anyway_is_not_corrected(lexicon: Lexicon, written: str) -> None:
    assert did_you_mean(f"Who is {written}?", lexicon, terms_of_case()).slips == []


def test_only_the_slip_is_mended_where_it_stands(lexicon: Lexicon) -> None:
    meant = did_you_mean("When did marit Slohiem's man lend  Vnater the ledger?", lexicon, terms_of_case())
    assert meant.question == "When did marit Solheim's man lend  Vanter the ledger?"
    assert [(slip.written, slip.start, slip.end) for slip in meant.slips] == [
        ("Slohiem", 15, 22), ("Vnater", 35, 41),
    ]  # fmt: skip


def test_the_word_beside_it_tells_which_name_was_meant() -> None:
    lexicon = Lexicon(named("Anna Harmon", "Bela Hannon"), [])
    assert did_you_mean("Who is Bela Harnon?", lexicon, set()).slips[0].meant[0] == "Hannon"
    assert did_you_mean("Who is Anna Harnon?", lexicon, set()).slips[0].meant[0] == "Harmon"


def test_a_name_that_a_person_confirmed_comes_first() -> None:
    names = [*named("Tarvik"), *named("Tarvit", accepted=True)]
    assert Lexicon(names, []).near("Tarvig") == ["Tarvit", "Tarvik"]


@pytest.mark.parametrize("word", ["paid", "lend", "meeting", "quarrel", "2033", "xyzzyplugh", "ab"])
def test_everyday_words_and_riddles_mean_nothing_else(lexicon: Lexicon, word: str) -> None:
    assert did_you_mean(f"Who {word}?", lexicon, set()).slips == []


def test_addresses_and_numbers_are_no_words(lexicon: Lexicon) -> None:
    found = Lexicon(named("zebulon@brask.example", kind="email"), [])
    assert len(found) == 0
    assert found.near("zebulan") == []


def test_two_letters_that_a_scanner_runs_together_cost_less_than_another_letter() -> None:
    assert distance("solheirn", "solheim") < distance("solheix", "solheim")
    assert distance("so1heim", "solheim") < distance("soxheim", "solheim")
    assert distance("solheum", "solheim") < distance("solhepm", "solheim") + 1e-9
    assert shape_of("clornbusch") == shape_of("dombusch")


words = st.text("abcdeilmnorsuw01", min_size=1, max_size=9)


@settings(max_examples=300, deadline=None)
@given(words, words)
def test_a_distance_is_none_only_for_the_same_word_and_never_above_plain_edits(one: str, other: str) -> None:
    cost = distance(one, other, most=99.0)
    assert (cost == 0) == (one == other)
    assert cost <= 1.3 + max(len(one), len(other))
    assert distance(one, other, most=0.1) in (0.0, float("inf"))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=12))
def test_any_word_has_latin_keys_or_none(word: str) -> None:
    for key in keys_of(word):
        assert key.isascii()
        assert key.isalnum()
        assert key == key.lower()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_any_question_keeps_what_is_no_slip(question: str) -> None:
    lexicon = Lexicon(named(*PEOPLE), TERMS)
    meant = did_you_mean(question, lexicon, set())
    mended = question
    for slip in reversed(meant.slips):
        assert question[slip.start : slip.end] == slip.written
        mended = mended[: slip.start] + slip.meant[0] + mended[slip.end :]
    assert meant.question == (mended if meant.slips else "")
