"""What a text names: found where it is, missed rather than imagined."""

import pytest

from handlers.entities import entities
from handlers.found import Found, apart, level
from handlers.names import organisation_key, unwrapped
from handlers.poi_names import Person, PoiNames, key_of, parts, words_to_look_for

NOBODY = PoiNames([])


def found(text: str, kind: str, pois: PoiNames = NOBODY) -> list[tuple[str, str]]:
    """Key and text of each finding of a kind."""
    return [(one.key, text[one.start : one.end]) for one in entities(text, pois) if one.kind == kind]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("It was June 4, 2001.", "2001-06-04"),
        ("It was 4 June 2001.", "2001-06-04"),
        ("on the 29th of\nDecember 2012, he", "2012-12-29"),
        ("on 2001-06-04 at", "2001-06-04"),
        ("on 06/04/2001 at", "2001-06-04"),
        ("on 14/06/2001 at", "2001-06-14"),
        ("on 6/4/01 at", "2001-06-04"),
        ("on 14/06/98 at", "1998-06-14"),
        ("am 4.6.2001 und", "2001-06-04"),
        ("vom 04. 06. 2001.", "2001-06-04"),
        ("Wed, 16 Jan 2002 12:44", "2002-01-16"),
        ("in February 2013.", "2013-02"),
    ],
)
def test_a_date_has_one_normal_form(text: str, key: str) -> None:
    assert [k for k, _ in found(text, "date")] == [key]


@pytest.mark.parametrize(
    "text",
    [
        "June 31, 2001",
        "99/99/2001",
        "No. 12-2001-06",
        "1/2/3",
        "may 2001 be",
        "v1.4.6.2001",
        "4.6.2001.7",
        "31.6.2001",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert [k for k, _ in found(text, "date") if len(k) == 10] == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("paid $1,250,000 to", "USD 1250000"),
        ("about $1.25 million of", "USD 1250000"),
        ("US$3bn", "USD 3000000000"),
        ("some 500 dollars", "USD 500"),
        ("€ 2,500.50 or", "EUR 2500.5"),
        ("£10k", "GBP 10000"),
    ],
)
def test_an_amount_has_one_normal_form(text: str, key: str) -> None:
    assert [k for k, _ in found(text, "money")] == [key]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("call (555) 010-4477 now", "+15550104477"),
        ("call 555.010.4477.", "+15550104477"),
        ("call +44 20 7946 0018", "+442079460018"),
    ],
)
def test_a_phone_number_has_one_normal_form(text: str, key: str) -> None:
    assert [k for k, _ in found(text, "phone")] == [key]


def test_case_numbers_and_amounts_are_no_phone_numbers() -> None:
    assert found("No. 1:14-cv-14176 and 16-01034, $555-010-4477 or 12345678901", "phone") == []


def test_mail_addresses_are_found_whole() -> None:
    text = "Write to Ann.Orr@Example.org, or <ben@mail.example.co.uk>."
    assert found(text, "email") == [
        ("ann.orr@example.org", "Ann.Orr@Example.org"),
        ("ben@mail.example.co.uk", "ben@mail.example.co.uk"),
    ]


def test_citations_have_one_normal_form() -> None:
    text = "See Roe v. Poe, 556 F.2d 591 (1st Cir. 1977); 42 U.S.C. § 1983; J.A. at 1 App. 24."
    assert [key for key, _ in found(text, "citation")] == ["556 f.2d 591", "42 u.s.c. § 1983"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Yesterday Martha Quill wrote to Henry B. Tamm.", ["martha quill", "henry tamm"]),
        ("We saw Dr. Osei there.", ["osei"]),
        ("Q. Who is he?\nMS. OSEI: Objection.\nTHE WITNESS: Nobody.", ["osei"]),
        ("From: Quill, Martha\nTo: Henry Tamm <h@example.org>", ["martha quill", "henry tamm"]),
        ("Cc: Henry Tamm; Osei, Ama", ["henry tamm", "ama osei"]),
        ("Martha Quill/NYC/ACME@ACME asked", ["martha quill"]),
        ("Tove Quill/ACME asked", ["tove quill"]),
        ("To: Odd Quill/Acme@Acme and Tove Quill/Acme", ["odd quill", "tove quill"]),
        ("the claim of Martha St. Quill was heard", ["martha st quill"]),
        ("Martha St. Quill came, and then Ms. St. Quill left", ["martha st quill", "martha st quill"]),
        ("The court heard General Quill.", ["quill"]),
        ("the letter that Martha\nQuill wrote", []),
        ("a line that is long enough to be wrapped at its end, Martha\nQuill wrote it", ["martha quill"]),
    ],
)  # fmt: skip
def test_people_are_told_by_how_they_are_written(text: str, keys: list[str]) -> None:
    assert [key for key, _ in found(text, "person")] == keys


@pytest.mark.parametrize(
    "text",
    [
        "MARTHA QUILL AND OTHERS",
        "The Next Morning we went to San Francisco Bay.",
        "Mark Exhibit 5 for identification.",
        "Attorney General and Attorney Work Product",
        "Dear Sir, Best Regards",
        "On Monday Morning",
        "Tallest Mast/Rate: 4",
        "They live at 12 Martha St. Quill Bay",
        "at the corner of Martha St",
        "the discharge was a General Discharge",
        "He spoke in General. Neither heard him.",
        "a brief of the Martha Quill Society",
        "at the Henry B. Tamm Courthouse",
    ],
)
def test_headings_places_and_beginnings_are_no_people(text: str) -> None:
    assert found(text, "person") == []


def test_a_surname_with_a_title_is_the_one_person_of_that_name() -> None:
    text = (
        "Mr. Quill spoke. Later Martha Quill left. Dr. Osei and Ama Osei and Kofi Osei stayed; then Ama left."
    )
    keys = [key for key, _ in found(text, "person")]
    assert keys[:2] == ["martha quill", "martha quill"]
    assert "osei" in keys


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The Acme Steel, Inc. paid", "Acme Steel, Inc."),
        ("at Burns & Vole LLP today", "Burns & Vole LLP"),
        ("the University of Northwick, where", "University of Northwick"),
        ("the U.S. Department of Health and Trade said", "U.S. Department of Health and Trade"),
        ("A. Northwick College, correct", "Northwick College"),
    ],
)
def test_organisations_are_told_by_their_form(text: str, name: str) -> None:
    assert [shown for _, shown in found(text, "organisation")] == [name]


def test_a_heading_in_capitals_is_no_organisation() -> None:
    assert found("ACME STEEL INC.\nTHE COMPANY", "organisation") == []


def test_forms_of_an_organisation_are_one() -> None:
    assert organisation_key("The Acme Steel, Inc.") == organisation_key("Acme Steel Incorporated")


POIS = PoiNames(
    [
        Person(1, "Ellen Wharton", ["Nell", "chair@acme.example"]),
        Person(2, "Vasquez, Rodrigo"),
        Person(3, "Ian Moss"),
        Person(4, "Una Moss"),
    ]
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Then ELLEN WHARTON came", "ELLEN WHARTON"),
        ("Ellen Q. Wharton's", "Ellen Q. Wharton"),
        ("from Wharton, Ellen to", "Wharton, Ellen"),
        ("saw Chairwoman Wharton go", "Chairwoman Wharton"),
        ("MS. WHARTON: Yes.", "MS. WHARTON"),
        ("said Nell to", "Nell"),
        ("Ellen\nWharton", "Ellen\nWharton"),
        ("Éllen Wharton", "Éllen Wharton"),
    ],
)
def test_a_poi_is_found_in_every_form(text: str, shown: str) -> None:
    assert found(text, "poi", POIS) == [("1", shown)]


def test_a_poi_whose_name_has_a_stop_is_found_with_it_and_without() -> None:
    pois = PoiNames([Person(1, "Ellen St. Wharton"), Person(2, "Wm. Vasquez")])
    for text in ("Ellen St. Wharton", "Ellen St Wharton", "ELLEN ST. WHARTON", "Ms. St. Wharton"):
        assert found(f"then {text} came", "poi", pois) == [("1", text)]
    for text in ("Wm. Vasquez", "Wm Vasquez"):
        assert found(f"then {text} came", "poi", pois) == [("2", text)]


@pytest.mark.parametrize(
    "text",
    ["a nell is", "Ellenwharton", "Mr. Moss came", "Wharton Street", "x@ellen wharton", "Ellen. Wharton"],
)
def test_what_only_resembles_a_poi_is_none(text: str) -> None:
    assert found(text, "poi", POIS) == []


@pytest.mark.parametrize(
    ("address", "poi"),
    [("ellen.wharton@x.example", "1"), ("chair@acme.example", "1"), ("rvasquez@x.example", "")],
)
def test_a_pois_mail_address_is_the_poi_too(address: str, poi: str) -> None:
    text = f"From: {address}"
    assert [key for key, _ in found(text, "poi", POIS)] == ([poi] if poi else [])
    assert [key for key, _ in found(text, "email", POIS)] == [address]


def test_a_slip_of_the_pen_is_still_the_poi() -> None:
    assert found("To: Rodrigo Vasqeuz <r@example.org>", "poi", POIS) == [("2", "Rodrigo Vasqeuz")]
    assert found("To: Robert Vasquez <r@example.org>", "poi", POIS) == []
    assert POIS.near("Ivan Moss") is None


def test_a_name_of_many_forms_has_one_key() -> None:
    assert {key_of(n) for n in ("Quill, Dr. Martha B., Jr.", "Martha Quill", "MARTHA B. QUILL")} == {
        "martha quill"
    }
    assert parts("Quill") == ["Quill"]


def test_the_words_to_look_for_stand_in_every_form() -> None:
    words = words_to_look_for(POIS.people[:1])
    for text in ("Wharton, Ellen", "Nell", "Ms. Wharton", "ellen.wharton@x.example", "chair@acme.example"):
        assert any(word.lower() in text.lower() for word in words)


def test_levelling_and_unwrapping_move_nothing() -> None:
    text = "Ünïcode “Straße” ﬁne ’tis\n" * 3 + "x" * 60 + "\nmore"
    assert len(level(text)) == len(text) == len(unwrapped(text))


def test_of_overlapping_findings_the_first_named_stays() -> None:
    one, two, three = Found("a", "1", "", 5, 9), Found("b", "2", "", 0, 6), Found("c", "3", "", 9, 10)
    assert apart([one, two, three]) == [one, three]
