"""Every real office file, contract and locked office file ends in a clear state with its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.parsing import doc, odf, ooxml, plain, rtf
from handlers.parsing.parsed import Outlet, Parsed, PasswordNeeded, Source
from tests.handlers.outlet import read_with

_Read = Callable[[Source, Outlet], Parsed]

_FILES: list[tuple[str, _Read, tuple[str, ...], list[str]]] = [
    ("office/EmbeddedPDF.docx", ooxml.read, ("Test Document with embedded pdf",), ["oleObject1.pdf"]),
    ("office/footnotes.docx", ooxml.read, ("Eto ochen prostoy[1] text so snoskoy\n\n[1] snoska",), []),
    (
        "office/iceland.docx",
        ooxml.read,
        ("The Icelandic horse <https://en.wikipedia.org/wiki/Icelandic_horse> is a breed", "9th and 10th"),
        [],
    ),
    ("office/testOCR.docx", ooxml.read, ("Here is an embedded image:",), ["image1.png"]),
    (
        "office/word-docx.docx",
        ooxml.read,
        ("Docket No. MD17-00012", "DD 214:\t☒\tService/Medical Record:\t☒\tOther Records:\t☐"),
        [],
    ),
    ("office/staff_list.xlsx", ooxml.read, ("list_01\nfirst_name | last_name | company\n",), []),
    (
        "office/testRTFListMicrosoftWord.rtf",
        rtf.read,
        (
            "A short ordered list:\n\n1. one\n2. two\n3. three",
            "A nested list:\n\n1. a\n- aa\n- ab\n2. b\n3. c",
        ),
        [],
    ),
    ("office/testWORD_macros.doc", doc.read, ("The quick brown fox.",), []),
    (
        "office/word-doc.doc",
        doc.read,
        ("No. 49S00-0308-DP-392", "[1] ", "separation of powers doctrine under Article 3, Section 1"),
        [],
    ),
]


@pytest.mark.parametrize(("name", "read", "phrases", "inside"), _FILES, ids=[name for name, *_ in _FILES])
def test_a_real_office_file_gives_its_words(
    documents: Path, name: str, read: _Read, phrases: tuple[str, ...], inside: list[str]
) -> None:
    parsed, kept = read_with(read, documents / name, "")
    for phrase in phrases:
        assert phrase in parsed.text
    assert [filename for filename, _ in kept.attached] == inside
    assert "damaged" not in parsed.meta.get("notice", "")


def test_the_macros_of_a_real_document_are_told_and_not_run(documents: Path) -> None:
    parsed, _ = read_with(doc.read, documents / "office/testWORD_macros.doc", "")
    assert parsed.meta["macros"] is True
    assert parsed.meta["notice"] == "it holds macros, which were not run"


def test_the_file_within_a_real_document_is_what_was_put_there(documents: Path) -> None:
    _, kept = read_with(ooxml.read, documents / "office/EmbeddedPDF.docx", "")
    assert kept.attached[0][1].startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("Consulting_Services_Agreement.txt", "Consulting Services Agreement"),
        ("IT_Master_Services_Agreement.txt", "Master Services Agreement"),
        ("Mutual_NDA_Bonterms.txt", "Confidential Information"),
    ],
)
def test_a_real_contract_as_text_is_read(documents: Path, name: str, phrase: str) -> None:
    parsed, _ = read_with(plain.read, documents / "contracts" / name, "text/plain")
    assert phrase.lower() in parsed.text.lower()
    assert len(parsed.text) > 8000


def test_a_real_locked_workbook_opens_with_its_password_alone(documents: Path) -> None:
    path = documents / "encrypted/testEXCEL_protected_passtika.xlsx"
    parsed, _ = read_with(ooxml.read, path, "", password="tika")
    assert parsed.text == "Sheet1\nThis is an Encrypted Excel spreadsheet."
    with pytest.raises(PasswordNeeded, match="asks for a password"):
        read_with(ooxml.read, path, "")
    with pytest.raises(PasswordNeeded, match="does not open"):
        read_with(ooxml.read, path, "", password="test")


def test_a_real_locked_open_document_asks_for_its_password(documents: Path) -> None:
    path = documents / "encrypted/encypted_by_libreoffice.odt"
    with pytest.raises(PasswordNeeded, match="asks for a password"):
        read_with(odf.read, path, "")
    with pytest.raises(PasswordNeeded, match="does not open"):
        read_with(odf.read, path, "", password="test")
