"""Questions are asked of names, letters, payments and dense months, never of units and everyday words."""

from __future__ import annotations

from collections import Counter

import pytest

from handlers.asking import Form, asking, dense, is_name, subject_of
from handlers.suggestions import EACH, suggestions
from storage.suggesting import Askable, Month, Named, Together, Told


def named(number: int, name: str, kind: str = "person", *, poi: bool = False, mentions: int = 3) -> Named:
    return Named(number, kind, name, poi, poi, mentions)


MARIT, PIET = named(1, "Marit Solheim", poi=True), named(2, "Piet Osman")
LENE, VANTER = named(3, "Lene Dahl"), named(4, "Vanter Holding", "organisation")


def askable(
    *names: Named,
    together: tuple[Together, ...] = (),
    told: tuple[Told, ...] = (),
    titles: dict[int, list[str]] | None = None,
    months: tuple[Month, ...] = (),
) -> Askable:
    return Askable(list(names), list(together), list(told), titles or {}, list(months))


def questions(form: Form, found: Askable) -> list[str]:
    return [one.text for one in asking(found)[0][form]]


@pytest.mark.parametrize(
    ("name", "kind", "mentions", "fit"),
    [
        ("Lene Dahl", "person", 1, True),
        ("Dr. Lene Dahl", "person", 1, True),
        ("Mr. Dahl", "person", 9, False),
        ("Dahl", "person", 9, False),
        ("Attorney Client", "person", 9, False),
        ("Original Message", "person", 9, False),
        ("Best Regards", "person", 9, False),
        ("Station Road", "person", 9, False),
        ("Vanter Holding", "organisation", 1, True),
        ("Vanter", "organisation", 3, True),
        ("Vanter", "organisation", 2, False),
        ("EUR", "organisation", 99, False),
        ("Bank", "organisation", 99, False),
        ("The Company", "organisation", 99, False),
        ("Kilometres Ltd", "organisation", 99, False),
        ("sales@vanter.example", "organisation", 9, False),
        ("Vanter\nHolding", "organisation", 9, False),
    ],
)
def test_only_what_is_a_name_is_asked_about(name: str, kind: str, mentions: int, fit: bool) -> None:
    assert is_name(named(1, name, kind, mentions=mentions)) is fit
    assert is_name(named(1, name, kind, poi=True)), "a person has confirmed it"


def test_a_letter_is_asked_about_by_its_subject() -> None:
    found = askable(MARIT, PIET, told=(Told(2, "wrote to", 1, 2, "Re: FW: Blasting plan"),))
    assert questions("letter", found) == ["What did Piet Osman write to Marit Solheim about “Blasting plan”?"]
    found = askable(MARIT, PIET, told=(Told(2, "wrote to", 1, 2, "RE:"),))
    assert questions("letter", found) == ["What did Piet Osman write to Marit Solheim?"]


def test_a_letter_to_several_is_asked_about_once() -> None:
    told = tuple(Told(3, "wrote to", other, 1, "Blasting plan, is it safe?") for other in (1, 2))
    found = questions("letter", askable(MARIT, PIET, LENE, told=told))
    assert found == ["What did Lene Dahl write to Marit Solheim about “Blasting plan, is it safe”?"]
    told = tuple(Told(3, "wrote to", other, 1, "") for other in (1, 2))
    assert len(questions("letter", askable(MARIT, PIET, LENE, told=told))) == 2


def test_a_payment_is_asked_about_as_it_was_told() -> None:
    found = askable(MARIT, VANTER, told=(Told(4, "owes", 1, 1, ""), Told(4, "of", 1, 1, "")))
    assert questions("money", found) == ["What does Vanter Holding owe Marit Solheim?"]


def test_two_are_asked_about_together_only_where_they_share_passages() -> None:
    found = askable(MARIT, PIET, VANTER, together=(Together(2, 4, 5), Together(1, 2, 1)))
    assert questions("connection", found) == ["What connects Marit Solheim and Piet Osman?"]
    assert questions("dealings", found) == ["What has Piet Osman to do with Vanter Holding?"]


def test_one_by_two_names_is_not_asked_about_with_itself() -> None:
    short = Named(9, "person", "Mr. Solheim", False, True, 5)
    found = askable(MARIT, short, together=(Together(1, 9, 5),), told=(Told(9, "wrote to", 1, 1, ""),))
    assert questions("connection", found) == questions("letter", found) == []


def test_persons_of_interest_come_before_those_who_are_named_more_often() -> None:
    found = askable(MARIT, PIET, LENE, together=(Together(2, 3, 50), Together(1, 3, 1)))
    assert questions("connection", found)[0] == "What connects Marit Solheim and Lene Dahl?"


def test_a_month_is_asked_about_where_it_stands_out() -> None:
    quiet = [Month(f"2033-{month:02}", 3) for month in range(1, 8)]
    assert dense(quiet) == []
    assert dense([*quiet, Month("2033-09", 4), Month("2033-08", 5)]) == [Month("2033-08", 5)]
    even = [Month(f"2033-{month:02}", 40) for month in range(1, 8)]
    assert dense(even) == []
    assert questions("month", askable(months=(Month("2033-06", 4),))) == ["What happened in June 2033?"]


@pytest.mark.parametrize(
    "title", ["", "RE:", "scan_0012", "invoice", "Say “cheese” now", "a b c", "x" * 40 + " " + "y" * 40]
)
def test_a_title_that_says_nothing_is_left_out(title: str) -> None:
    assert subject_of(title) == ""
    assert questions("document", askable(MARIT, titles={1: [title]})) == []


def test_a_document_is_asked_about_somebody_it_names_but_does_not_name_in_its_title() -> None:
    titles = {1: ["Statement of Marit Solheim", "Rules of the quarry"], 2: ["Rules of the quarry"]}
    found = askable(MARIT, PIET, titles=titles)
    assert questions("document", found) == ["What does “Rules of the quarry” say about Marit Solheim?"]


def test_the_first_are_of_every_form_about_as_many_as_can_be_and_none_comes_five_times() -> None:
    people = [named(i, f"Person{chr(65 + i)} Surname{chr(65 + i)}", poi=i < 3) for i in range(12)]
    together = tuple(Together(i, j, 9) for i in range(12) for j in range(i))
    told = tuple(Told(i, "wrote to", j, 3, "The blasting plan") for i in range(12) for j in range(i))
    found = askable(
        *people,
        VANTER,
        together=together,
        told=told,
        titles={one.id: [f"Report on pier {chr(97 + one.id)} walls"] for one in people},
        months=tuple(Month(f"20{year}-01", 9 if year > 35 else 1) for year in range(20, 44)),
    )
    suggested = suggestions(found)
    assert suggested == suggestions(found)
    asked = [one for one in suggested if one.why != "name"]
    forms = Counter(" ".join(one.text.split()[:2]) for one in asked)
    assert max(forms.values()) == EACH < 5
    first = [one.text for one in asked[:5]]
    assert len({" ".join(text.split()[:2]) for text in first}) == 5
    assert sum("PersonA" in text for text in first) <= 2
    assert next(one.text for one in suggested if one.why == "name") == people[0].name


def test_a_case_that_names_nobody_has_nothing_to_suggest() -> None:
    assert suggestions(askable()) == []
