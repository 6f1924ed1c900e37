"""Names told by capital letters alone: what counts as one, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.entities import entities
from handlers.poi_names import Person, PoiNames
from handlers.proper_names import proper_names


def names(text: str) -> list[str]:
    return [found.name for found in proper_names(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They sailed from Port Kessel to Vyrland in spring.", ["Port Kessel", "Vyrland"]),
        ("He wrote the Treaty of Low Water for the Harbour Board.", ["Treaty of Low Water", "Harbour Board"]),
        ("However, the Blue Heron's engine failed on Monday.", ["Blue Heron"]),
        ("Nothing was said of it. Yesterday they left.", []),
        ("Kestrel failed. They repaired Kestrel in May.", ["Kestrel", "Kestrel"]),
        ("MINUTES OF THE HARBOUR BOARD\nthe board met", []),
    ],
)
def test_names_are_what_is_written_as_one(text: str, expected: list[str]) -> None:
    assert sorted(names(text)) == sorted(expected)


def test_a_heading_is_a_name_without_its_brackets() -> None:
    first = next(proper_names("Low Water (song)\n“Low Water” is a song by nobody."))
    assert (first.key, first.start, first.end) == ("low water", 0, 9)


def test_the_same_name_is_one_whatever_article_or_ending_it_has() -> None:
    keys = {found.key for found in proper_names("we saw The Blue Heron, and the Blue Heron’s crew")}
    assert keys == {"blue heron"}


def test_surer_readings_come_before_mere_names() -> None:
    found = entities("Ada Hill left Kessel Ltd. for Vyrland.", PoiNames([Person(7, "Ada Hill")]))
    assert [(one.kind, one.name) for one in found] == [
        ("poi", "Ada Hill"),
        ("organisation", "Kessel Ltd."),
        ("name", "Vyrland"),
    ]


@given(st.text(alphabet="Aa Zz.'’-\n(&of the)“\"éЖß19", max_size=200))
def test_every_name_stands_where_it_says_it_does(text: str) -> None:
    for found in proper_names(text):
        assert " ".join(text[found.start : found.end].split()) == found.name
        assert found.key
