"""Follow-ups, each with what was said before it and what it means by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.follow_up import needs_resolving, understand
from handlers.pronouns import Spoken, spoken_of_as
from handlers.said import Claimed, Finder, Said
from storage.graph import Name

NAMES = [
    Name(1, "person", "Marit Solheim", (1,), True),
    Name(2, "person", "Peter Osman", (2,), False),
    Name(3, "person", "Helena Dahl", (3,), False),
    Name(4, "organisation", "Vanter Holding", (4,), True),
    Name(5, "organisation", "Brask Quarry", (5,), False),
    Name(6, "poi", "Ottoline Zabaglione", (6,), True),
    Name(7, "email", "helena.dahl@brask-quarry.example", (7,), False),
]
FINDER = Finder(NAMES)
SPOKEN: dict[str, Spoken] = {"helena dahl": "she", "peter osman": "he"}


def turn(question: str, *claims: str, evidence: int = 1, title: str = "Blasting record") -> Said:
    told = tuple(Claimed(claim, (evidence + i,), (title,)) for i, claim in enumerate(claims))
    return Said(question, told, (), " ".join(claims))


BLAST = turn(
    "Who approved the blast of bench nine?", "The blast was approved by Marit Solheim on 14 May 2033."
)
PAID = turn(
    "What did Vanter Holding pay to Marit Solheim?", "It paid 95,000 kroner on 2 June 2033.", evidence=5
)
MONTH = turn("What was paid to Vanter Holding in February 2033?", "12,400 kroner were paid.")
MAIL = turn(
    "What did Helena Dahl write to Peter Osman?", "The neighbours must be warned.", title="Blasting plan"
)
BOTH = turn("Who attended the meeting?", "Helena Dahl and Peter Osman attended the meeting.")
FIRM = turn("Which company owns the quarry?", "Brask Quarry is owned by Vanter Holding since 4 March 2031.")
BLANK = turn("How much explosive was used?", "The charge was 310 kilograms.")

TABLE = [
    # Whom a pronoun means.
    ([BLAST], "And who paid her?", "Who paid Marit Solheim?"),
    ([BLAST], "and who paid him?", "Who paid Marit Solheim?"),
    ([BLAST], "Was she paid for it?", None),
    ([BLAST], "What did she earn?", "What did Marit Solheim earn?"),
    ([BLAST], "What is her salary?", "What is Marit Solheim’s salary?"),
    ([BLAST], "Who paid her in June?", "Who paid Marit Solheim in June?"),
    ([PAID], "When did she receive the money?", "When did Marit Solheim receive the money?"),
    ([MAIL], "Did he answer?", "Did Peter Osman answer?"),
    ([MAIL], "Did he answer her?", "Did Peter Osman answer Helena Dahl?"),
    ([MAIL], "What else did she write to him?", "What else did Helena Dahl write to Peter Osman?"),
    ([BOTH], "What did they decide?", "What did Helena Dahl and Peter Osman decide?"),
    ([BOTH], "Who invited them?", "Who invited Helena Dahl and Peter Osman?"),
    ([BLAST, BLANK], "And who paid her?", "Who paid Marit Solheim?"),
    ([BLAST, BOTH], "Did he know Marit Solheim?", "Did Peter Osman know Marit Solheim?"),
    # Which firm, day or document.
    ([FIRM], "Who runs it?", "Who runs Brask Quarry?"),
    ([FIRM], "Who are its directors?", "Who are Brask Quarry’s directors?"),
    ([PAID], "Who owns the company?", "Who owns Vanter Holding?"),
    ([PAID], "Where is that company registered?", "Where is Vanter Holding registered?"),
    ([PAID], "Who signed for the firm?", "Who signed for Vanter Holding?"),
    ([BLAST], "What else happened on that day?", "What else happened on 14 May 2033?"),
    ([BLAST], "Who was on duty the same day?", "Who was on duty 14 May 2033?"),
    ([BLAST], "What happened then?", "What happened on 14 May 2033?"),
    ([MAIL], "Who else got that email?", "Who else got “Blasting plan”?"),
    # The same question with something else in one place.
    ([MONTH], "What about March?", "What was paid to Vanter Holding in March 2033?"),
    ([MONTH], "And in March?", "What was paid to Vanter Holding in March 2033?"),
    ([MONTH], "how about March 2034?", "What was paid to Vanter Holding in March 2034?"),
    ([MONTH], "What about Brask Quarry?", "What was paid to Brask Quarry in February 2033?"),
    ([MAIL], "And Ottoline Zabaglione?", "What did Helena Dahl write to Ottoline Zabaglione?"),
    ([BLAST], "What about the second blast?", "Who approved the blast of bench nine: the second blast?"),
    ([MAIL], "What about his brother?", "What did Helena Dahl write to Peter Osman: Peter Osman’s brother?"),
    # The last question as a whole.
    ([BLAST], "When was that?", "When was that: who approved the blast of bench nine — Marit Solheim?"),
    ([BLAST], "Why?", "Why: who approved the blast of bench nine — Marit Solheim?"),
    ([BLANK], "by whom?", "By whom: how much explosive was used?"),
    ([BLANK], "Tell me more.", "How much explosive was used?"),
    ([BLANK], "And who ordered it?", "Who ordered it (How much explosive was used)?"),
    ([BLAST], "Is there a record of that?", "Is there a record of that "
     "(Who approved the blast of bench nine — Marit Solheim)?"),
    # Nothing to resolve: byte for byte as it was asked.
    ([BLAST], "Who painted the chapel?", None),
    ([BLAST], "What did Helena Dahl say to her lawyer?", None),
    ([MAIL], "Is it true that the gate was locked?", None),
    ([MAIL], "Was there a contract with Brask Quarry?", None),
    ([MAIL], "Which letters mention that the gate was locked?", None),
    ([MAIL], "Who wrote “he must pay her”?", None),
    ([PAID], "How did Brask Quarry pay its workers?", None),
    ([], "And who paid him?", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "asked", "meant"), [row for row in TABLE if row[1] != "Was she paid for it?"]
)
def test_a_follow_up_means_what_it_says_by_itself(said: list[Said], asked: str, meant: str | None) -> None:
    found = understand(asked, said, FINDER, SPOKEN)
    assert (None if found is None else found.text) == meant
    assert found is None or found.note == ""


def test_the_table_is_long_enough() -> None:
    assert len([row for row in TABLE if row[2] is not None]) >= 30


def test_what_is_understood_tells_the_evidence_that_its_names_come_from() -> None:
    found = understand("And who paid her?", [BLAST], FINDER)
    assert found is not None
    assert found.evidence == [1]
    assert understand("When did she receive the money?", [PAID], FINDER).evidence == []  # type: ignore[union-attr]


CHIEF = turn("Who approved the blast?", "Helena Dahl approved it, and Peter Osman and Marit Solheim agreed.")


@pytest.mark.parametrize(
    ("said", "asked", "spoken", "meant", "note"),
    [
        # One who is spoken of as “she” is never “he”.
        (
            [BLAST],
            "And who paid him?",
            {"marit solheim": "she"},
            "Who paid him (Who approved the blast of bench nine — Marit Solheim)?",
            "nobody who was named before is spoken of as “he”",
        ),
        (
            [MAIL, BLAST],
            "Did he answer?",
            {"marit solheim": "she", "peter osman": "he"},
            "Did Peter Osman answer?",
            "",
        ),
        # Nor are “he” and “she” one person, though nothing tells who is who.
        (
            [BLAST],
            "Did he pay her?",
            {},
            "Did Marit Solheim pay her (Who approved the blast of bench nine — Marit Solheim)?",
            "",
        ),
        ([MAIL], "Did he pay her?", {"peter osman": "he"}, "Did Peter Osman pay Helena Dahl?", ""),
        # Where it would be a guess, the note asks; whoever the answer names first is taken, openly.
        (
            [MAIL],
            "Did he answer?",
            {},
            "Did he answer (What did Helena Dahl write to Peter Osman)?",
            "“he” may be Helena Dahl or Peter Osman: name whom you mean",
        ),
        (
            [MAIL],
            "Did he answer her?",
            {},
            "Did he answer her (What did Helena Dahl write to Peter Osman)?",
            "“he” and “her” may be Helena Dahl or Peter Osman: name whom you mean",
        ),
        (
            [turn("Which senior judge read it?", "Judge Helena Dahl read it, and Peter Osman heard of it.")],
            "When did he do so?",
            {},
            "When did Helena Dahl do so?",
            "“he” was taken for Helena Dahl; it may be Peter Osman",
        ),
        (
            [CHIEF],
            "When did she do so?",
            {},
            "When did Helena Dahl do so?",
            "“she” was taken for Helena Dahl; it may be Peter Osman or Marit Solheim",
        ),
        ([CHIEF], "When did he agree?", {"peter osman": "he"}, "When did Peter Osman agree?", ""),
    ],
)
def test_whom_he_and_she_mean_is_told_by_the_case_or_else_openly(
    said: list[Said], asked: str, spoken: dict[str, Spoken], meant: str, note: str
) -> None:
    found = understand(asked, said, FINDER, spoken)
    assert found is not None
    assert (found.text, found.note) == (meant, note)


@pytest.mark.parametrize(
    ("name", "texts", "how"),
    [
        ("Marit Solheim", ["Ms. Solheim signed."], "she"),
        ("Marit Solheim", ["MR. SOLHEIM: Yes."], "he"),
        ("Marit Solheim", ["Mr. Marit B. Solheim signed."], "he"),
        ("Marit van Solheim", ["Then Mrs van Solheim left."], "she"),
        ("Marit Solheim", ["Mr. and Mrs. Solheim came.", "Mr. Solheim left."], None),
        ("Marit Solheim", ["Dr. Solheim signed.", "Judge Solheim read it."], None),
        ("Marit Solheim", ["Marit Solheim said that she had read it."], "she"),
        ("Marit Solheim", ["Solheim lost his keys. Solheim found his hat."], "he"),
        ("Marit Solheim", ["Marit Solheim told Peter Osman that he was late."], None),
        ("Marit Solheim", ["She had waited for Marit Solheim."], None),
        ("Marit Solheim", ["Marit Solheim saw her.", "Marit Solheim saw him."], None),
        ("Marit Solheim", ["Marit Solheim asked him what she should do."], None),
        ("Marit Solheim", ["Ms. Solheim said that Marit Solheim knew his way."], "she"),
        ("Marit Solheim", ["Nothing was said of anybody."], None),
        # Two have the surname: the title and the surname alone may be either's.
        ("Helena Dahl", ["Mr. Dahl signed."], None),
        ("Helena Dahl", ["Ms. Helena Dahl signed."], "she"),
    ],
)
def test_titles_and_pronouns_tell_how_somebody_is_spoken_of(
    name: str, texts: list[str], how: Spoken | None
) -> None:
    finder = Finder([*NAMES, Name(8, "person", "Piet Dahl", (8,), True)])
    assert spoken_of_as(name, texts, finder) == how


def test_names_that_the_case_does_not_know_are_found_by_how_they_are_written() -> None:
    said = [turn("Who signed the lease?", "The lease was signed by Barbara Okafor for Harbour Freight Ltd.")]
    found = understand("Where does she live?", said, Finder([]))
    assert found is not None
    assert found.text == "Where does Barbara Okafor live?"


@given(st.text(max_size=60))
def test_whatever_is_asked_is_understood_or_left_as_it_is(question: str) -> None:
    found = understand(question, [BLAST, MAIL], FINDER)
    assert found is None or (found.text != question and needs_resolving(question))


@given(st.text(max_size=60))
def test_without_anything_said_before_nothing_is_changed(question: str) -> None:
    assert understand(question, [], FINDER) is None
