"""What the readers of XLSX, XLS, ODS and CSV make of tables whose every cell is known."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.parsing import csv_table, number_format, odf, ooxml, tables, xls
from handlers.parsing.facts import Facts
from handlers.parsing.parsed import Parsed, Unreadable
from handlers.parsing.tables import GROUP_CHARACTERS, Table
from handlers.parsing.writing import CELLS, Writing
from tests.handlers import office_files as files
from tests.handlers.office_files import relations, rows
from tests.handlers.outlet import read_with


def read_xlsx(
    sheets: dict[str, str], parts: dict[str, str | bytes] | None = None, *, states: str = ""
) -> Parsed:
    return read_with(ooxml.read, files.xlsx(sheets, parts, states=states), "")[0]


@pytest.mark.parametrize("module", [csv_table, number_format, tables])
def test_examples_in_the_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(st.lists(st.text("ab| \n", max_size=6), min_size=1, max_size=5))
def test_bars_within_cells_are_told_from_those_between_cells(cells: list[str]) -> None:
    writing = Writing()
    writing.row(cells)
    line, _ = writing.finish()
    # A line loses the space before its first bar where its first cell is empty.
    found = (f" {line}" if line.startswith("| ") else line).split(CELLS)
    expected = [" ".join(cell.split()) for cell in cells]
    while expected[1:] and not expected[-1]:
        expected.pop()
    assert [" ".join(cell.split()) for cell in found] == expected


def test_each_sheet_begins_a_page_that_names_its_cells() -> None:
    parsed = read_xlsx({"Pay": rows(("Name", "Pay"), ("Ann", 20)), "List": rows(("Only",), first=4)})
    assert [parsed.text[start:end] for start, end in parsed.pages] == [
        "Pay\nName | Pay\nAnn | 20",
        "List\nOnly",
    ]
    assert parsed.meta["places"] == ["Pay!A1:B2", "List!A4:A4"]
    assert parsed.meta["sheets"] == ["Pay", "List"]


def test_a_long_sheet_repeats_its_header_on_every_page() -> None:
    lines = [(f"Person number {i}", "somewhere far away", i) for i in range(100)]
    parsed = read_xlsx({"Pay": rows(("Name", "Place", "Pay"), *lines)})
    pages = [parsed.text[start:end] for start, end in parsed.pages]
    assert len(pages) > 3
    assert all(page.startswith("Pay\nName | Place | Pay\nPerson") for page in pages)
    assert all(len(page) <= GROUP_CHARACTERS + 60 for page in pages)
    for i in range(100):
        (page,) = [k for k, text in enumerate(pages) if f"Person number {i} |" in text]
        first, last = parsed.meta["places"][page].removeprefix("Pay!A").split(":C")
        assert int(first) <= i + 2 <= int(last)


def test_a_table_without_a_header_repeats_nothing() -> None:
    parsed = read_xlsx({"T": rows(*[(i, i + 1, "x" * 100) for i in range(20)])})
    assert parsed.text.count("0 | 1 | x") == 1


def test_cells_keep_their_columns() -> None:
    parsed = read_xlsx({"T": rows(("a", None, "c"), (None, "b", None))})
    assert parsed.text == "T\na |  | c\n | b".replace("\n |", "\n|")


def test_values_are_shown_as_the_sheet_shows_them() -> None:
    styles = (
        '<styleSheet><numFmts><numFmt numFmtId="164"'
        ' formatCode="#,##0.00\\ &quot;EUR&quot;"/></numFmts><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf'
        ' numFmtId="10"/><xf numFmtId="22"/></cellXfs></styleSheet>'
    )
    cells = (
        '<c r="A1" s="1"><v>37025</v></c><c r="B1" s="2"><v>1234.5</v></c><c r="C1" s="3"><v>0.125</v></c>'
        '<c r="D1" s="4"><v>37025.75</v></c><c r="E1" t="b"><v>1</v></c><c r="F1" t="e"><v>#N/A</v></c>'
        '<c r="G1" t="s"><v>0</v></c><c r="H1" t="str">'
        '<f>A1&amp;B1</f><v>both</v></c><c r="I1"><f>NOW()</f></c>'
        '<c r="J1"><v>0.1</v></c><c r="K1" t="s"><v>99</v></c>'
    )
    strings = "<sst><si><r><t>Rich </t></r><r><t>text</t></r><rPh><t>x</t></rPh></si></sst>"
    parsed = read_xlsx(
        {"T": f'<sheetData><row r="1">{cells}</row></sheetData>'},
        {"xl/styles.xml": styles, "xl/sharedStrings.xml": strings},
    )
    assert parsed.text.removeprefix("T\n").split(" | ") == [
        "2001-05-14", "1,234.50 EUR", "12.50%", "2001-05-14 18:00", "TRUE", "#N/A",
        "Rich text", "both", "=NOW()", "0.1",
    ]  # fmt: skip


def test_days_count_from_1904_where_the_workbook_says_so() -> None:
    styles = '<styleSheet><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>'
    book = files.xlsx({"T": rows((35563,))}, {"xl/styles.xml": styles})
    assert read_with(ooxml.read, book, "")[0].text == "T\n1997-05-13"
    parts: dict[str, str | bytes] = {
        "xl/styles.xml": styles,
        "xl/workbook.xml": '<workbook xmlns:r="r"><workbookPr date1904="1"/>'
        '<sheets><sheet name="T" r:id="rId1"/></sheets></workbook>',
    }
    assert read_xlsx({"T": rows((35563,))}, parts).text == "T\n2001-05-14"


def test_hidden_sheets_rows_and_columns_are_told() -> None:
    columns = '<cols><col min="2" max="3" hidden="1"/></cols>'
    parsed = read_xlsx(
        {"A": columns + rows(("Name", "x"), ("Ann", "y"), ("Bob", "z"), hidden=(2, 3)), "B": rows(("b",))},
        states="vx",
    )
    assert parsed.meta["hidden"] == ["sheet A columns B–C", "sheet A rows 2–3", "sheet B"]
    assert "[hidden: Ann | y]" in parsed.text
    assert "B [hidden sheet]\nb" in parsed.text


def test_comments_and_text_boxes_follow_their_sheet() -> None:
    held: dict[str, str | bytes] = {
        "xl/worksheets/_rels/sheet1.xml.rels": relations(
            ("comments", "../comments1.xml"), ("drawing", "../drawings/drawing1.xml")
        ),
        "xl/comments1.xml": "<comments><authors><author>Cy</author></authors><commentList>"
        '<comment ref="B2" authorId="0"><text><r><t>Check!</t></r></text></comment></commentList></comments>',
        "xl/drawings/drawing1.xml": '<d xmlns:a="a"><a:p><a:r><a:t>In a box</a:t></a:r></a:p></d>',
    }
    parsed = read_xlsx({"T": rows(("a", "b"))}, held)
    assert parsed.text == "T\na | b\n\nT\n\nComment on B2 by Cy: Check!\n\nIn a box"
    assert parsed.meta["annotations"][0]["on"] == "T!B2"


def test_programs_and_databases_that_a_workbook_calls_are_told() -> None:
    held: dict[str, str | bytes] = {
        "xl/externalLinks/externalLink1.xml": '<x><ddeLink ddeService="cmd" ddeTopic="/c calc"/></x>',
        "xl/connections.xml": '<x><connection><dbPr connection="Server=db"/></connection></x>',
    }
    assert read_xlsx({"T": rows(("a",))}, held).meta["external"] == [
        "DDE cmd /c calc",
        "connection Server=db",
    ]


def test_what_goes_beyond_the_limit_is_counted_and_told() -> None:
    writing, facts, places = Writing(most=2000), Facts(), list[str]()
    table = Table(writing, facts, "T", places)
    for i in range(1, 201):
        table.row(i, [f"row {i}", "x" * 20])
    table.close()
    facts.note_left_out(writing)
    text, pages = writing.finish()
    assert len(text) <= 2000
    assert f"row {1 + text.count('row ')}" not in text
    assert facts.meta()["left_out"] >= 200 - text.count("row ")
    assert len(pages) == len(places)


def test_an_old_workbook_reads_like_a_new_one() -> None:
    content = files.xls(
        {"Pay": [["Name", "Since", "Sum"], ["Änn", 37025, 1234.5]], "Hid": [["x"]]}, hidden="Hid", note="Look"
    )
    parsed, _ = read_with(xls.read, content, "")
    assert parsed.text.startswith("Pay\nName | Since | Sum\nÄnn | 2001-05-14 | $1,234.50\n\n")
    assert "Comment by Ada on “Pay!A1”: Look" in parsed.text
    assert parsed.text.endswith("Hid [hidden sheet]\nx")
    assert parsed.meta["hidden"] == ["sheet Hid"]
    assert parsed.meta["places"] == ["Pay!A1:C2", "Pay", "Hid!A1:A1"]


def test_an_old_workbook_that_is_cut_off_is_told() -> None:
    with pytest.raises(Unreadable, match="damaged"):
        read_with(xls.read, files.xls({"A": [["x"]]})[:1500], "")


def test_an_open_document_sheet_expands_what_it_repeats_within_reason() -> None:
    def cell(text: str, more: str = "") -> str:
        return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"

    date = (
        '<table:table-cell office:value-type="date"'
        ' office:date-value="2001-05-14"><text:p>14.5.</text:p></table:table-cell>'
    )
    body = (
        f'<table:table table:name="Pay"><table:table-row>{cell("Name")}{cell("Since")}</table:table-row>'
        f"<table:table-row>{cell('Ann')}{date}</table:table-row>"
        f"<table:table-row>{cell('x', 'table:number-columns-repeated=' + chr(34) + '3' + chr(34))}"
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        '<table:table-row table:number-rows-repeated="1000000">'
        "<table:table-cell/></table:table-row></table:table>"
    )
    parsed, _ = read_with(odf.read, files.odf("spreadsheet", body), "")
    assert parsed.text == "Pay\nName | Since\nAnn | 2001-05-14\nx | x | x"
    assert parsed.meta["places"] == ["Pay!A1:C3"]


@pytest.mark.parametrize(
    ("content", "separator", "encoding"),
    [
        ('Name;Ort\nMüller;Köln\n"Meier; K.";Ulm\n'.encode("cp1252"), ";", "cp1252"),
        ("Name\tOrt\nMüller\tKöln\nMeier; K.\tUlm\n".encode("utf-16"), "\t", "utf-16"),
        ('Name,Ort\nMüller,Köln\n"Meier; K.",Ulm\n'.encode(), ",", "utf-8"),
        ("Name|Ort\r\nMüller|Köln\r\nMeier; K.|Ulm\r\n".encode("utf-8-sig"), "|", "utf-8-sig"),
    ],
)
def test_a_table_as_text_is_read_whatever_its_dialect(content: bytes, separator: str, encoding: str) -> None:
    parsed, _ = read_with(csv_table.read, content, "")
    assert parsed.text == "Name | Ort\nMüller | Köln\nMeier; K. | Ulm"
    assert (parsed.meta["separator"], parsed.meta["encoding"]) == (separator, encoding)
    assert parsed.meta["places"] == ["A1:B3"]


def test_a_legacy_letter_far_behind_is_still_read() -> None:
    content = b"Name,Place\n" + b"Smith,London\n" * 120_000 + "Müller,Köln\n".encode("cp1252")
    parsed, _ = read_with(csv_table.read, content, "")
    assert parsed.text.endswith("Müller | Köln")


def test_a_quote_that_is_never_closed_ends_in_a_sentence() -> None:
    content = b'a,b\n1,2\n"never closed,' + b"x\n" * 3_000_000
    parsed, _ = read_with(csv_table.read, content, "")
    assert parsed.text.startswith("a | b\n1 | 2")
    assert "a quote is not closed" in parsed.meta["notice"]
