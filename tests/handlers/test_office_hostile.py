"""Hostile and damaged office files cost a sentence, never the reader."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.parsing import csv_table, doc, epub, html, odf, ooxml, package, ppt, rtf, xls
from handlers.parsing.parsed import Outlet, Parsed, PasswordNeeded, Source, Unreadable
from tests.handlers import office_files as files
from tests.handlers.office_files import p
from tests.handlers.outlet import read_with

_Read = Callable[[Source, Outlet], Parsed]


def with_document(document: str) -> bytes:
    return files.ooxml("word/document.xml", {"word/document.xml": document})


def test_entities_that_name_files_are_not_read() -> None:
    document = (
        '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "inner">]>'
        '<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>a&x;b&y;c</w:t></w:r></w:p></w:body></w:document>'
    )
    parsed, _ = read_with(ooxml.read, with_document(document), "")
    assert "root:" not in parsed.text
    assert parsed.text.startswith("a")


def test_entities_that_multiply_are_not_expanded() -> None:
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    for place in ("<w:t>&a11;</w:t>", '<w:t x="&a11;">z</w:t>'):
        document = (
            f'<!DOCTYPE d [{entities}]><w:document xmlns:w="w"><w:body>'
            f"<w:p><w:r>{place}</w:r></w:p></w:body></w:document>"
        )
        try:
            parsed, _ = read_with(ooxml.read, with_document(document), "")
        except Unreadable:
            continue
        assert len(parsed.text) < 10_000


def test_a_part_that_unfolds_beyond_reason_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "SUSPECT_BYTES", 1 << 20)
    content = files.docx(p("x"), {"word/media/image1.png": bytes(4 << 20)})
    with pytest.raises(Unreadable, match="unfolds to far more"):
        read_with(ooxml.read, content, "")


def test_parts_that_unfold_to_too_much_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MOST_BYTES", 1 << 20)
    held: dict[str, str | bytes] = {
        f"word/media/image{i}.png": random.Random(i).randbytes(300_000) for i in range(4)
    }
    with pytest.raises(Unreadable, match="unfolds to far more"):
        read_with(ooxml.read, files.docx(p("x"), held), "")


def test_a_document_of_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MOST_PARTS", 3)
    with pytest.raises(Unreadable, match="more than 3 parts"):
        read_with(ooxml.read, files.docx(p("x")), "")


def test_a_document_whose_end_is_damaged_is_read_in_part() -> None:
    body = "".join(p(f"Paragraph {i}.") for i in range(50))
    broken = f'<w:document xmlns:w="w"><w:body>{body}<w:p><w:r><w:t>Last'
    parsed, _ = read_with(ooxml.read, with_document(broken), "")
    assert parsed.text.startswith("Paragraph 0.\n\nParagraph 1.")
    assert "Paragraph 49." in parsed.text
    assert "damaged in word/document.xml" in parsed.meta["notice"]


def test_a_document_without_its_list_of_parts_is_told() -> None:
    with pytest.raises(Unreadable, match="cut off"):
        read_with(ooxml.read, files.docx(p("x"))[:-200], "")


def test_an_archive_that_is_no_document_is_told() -> None:
    with pytest.raises(Unreadable, match="no Word, Excel or PowerPoint"):
        read_with(ooxml.read, files.zipped({"a.txt": "x"}), "")


def test_a_presentation_whose_edits_point_in_a_circle_ends() -> None:
    content = bytearray(files.ppt([("T", "x", "n")]))
    at = content.index(struct.pack("<HHI", 0, 0x0FF5, 28))
    (place,) = struct.unpack_from("<I", content, content.index(struct.pack("<HHI", 0, 0x0FF6, 20)) + 16)
    struct.pack_into("<I", content, at + 16, place)
    parsed, _ = read_with(ppt.read, bytes(content), "")
    assert parsed.text.startswith("T")


_WHOLE: list[tuple[_Read, bytes]] = [
    (ooxml.read, files.docx(p("One two three.") * 20 + files.table(("a", "b")))),
    (ooxml.read, files.xlsx({"T": files.rows(("Name", "Pay"), ("Ann", 20))})),
    (ooxml.read, files.pptx([files.shape("One"), files.shape("Two")])),
    (odf.read, files.odf("text", "<text:p>One</text:p><text:h>Two</text:h>")),
    (doc.read, files.doc("One two gone three.\rSecret.\r", deleted="gone ", hidden="Secret")),
    (xls.read, files.xls({"T": [["Name", "Pay"], ["Ann", 37025]]}, note="Look")),
    (ppt.read, files.ppt([("Title", "Text", "Note"), ("a", "b", "c")])),
    (rtf.read, rb"{\rtf1\ansi{\fonttbl{\f0 A;}}One {\v two}\par{\pict\pngblip 8950}\trowd a\cell\row}"),
    (html.read, b"<html><body><p>One<table><tr><td>a<td>b</table><a href=x>y</a><div hidden>z</div>"),
    (csv_table.read, b'Name;Pay\n"Ann";20\nBob;30\n'),
    (epub.read, files.zipped({"META-INF/container.xml": "<c><rootfile full-path='x'/></c>", "x": "<p/>"})),
]


@given(
    which=st.integers(0, len(_WHOLE) - 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.floats(0, 1),
)
@settings(max_examples=400, deadline=None)
def test_mutated_files_end_in_text_or_in_an_exception_that_the_sandbox_tells(
    which: int, changes: list[tuple[float, int]], cut: float
) -> None:
    read, content = _WHOLE[which]
    mutated = bytearray(content)
    for place, value in changes:
        mutated[min(int(place * len(mutated)), len(mutated) - 1)] = value
    if cut > 0.7:
        del mutated[int(cut * len(mutated)) :]
    try:
        parsed, _ = read_with(read, bytes(mutated), "")
    except (Unreadable, PasswordNeeded):
        return
    assert "\x00" not in parsed.text
    assert all(0 <= start <= end <= len(parsed.text) for start, end in parsed.pages)


def test_a_mutated_part_is_told_apart_from_a_mutated_archive() -> None:
    parts = files.parts_of(files.docx(p("One.") * 50))
    random_bytes = random.Random(7)
    for _ in range(60):
        document = bytearray(parts["word/document.xml"])
        for _ in range(4):
            document[random_bytes.randrange(len(document))] = random_bytes.randrange(256)
        try:
            read_with(ooxml.read, files.zipped(parts | {"word/document.xml": bytes(document)}), "")
        except Unreadable:
            continue


def test_a_wrong_checksum_is_damage_and_not_the_end() -> None:
    content = bytearray(files.docx(p("One.") + p("Two.")))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        entry = archive.getinfo("word/document.xml")
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"word/document.xml"))
    struct.pack_into("<I", content, at + 16, entry.CRC ^ 1)
    parsed, _ = read_with(ooxml.read, bytes(content), "")
    assert parsed.text.startswith("One.")
    assert "damaged" in parsed.meta["notice"]
