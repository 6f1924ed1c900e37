"""The timeline of a case: order, dates that may mean two days, filters, pages, and what is out of sight."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import text

from handlers.sentence_around import sentence_around
from storage.database import create_engine
from storage.timeline import After, Chosen, Entry, Timeline
from tests.case_rows import new_case
from tests.handlers.test_poi_search import Place


class Told(Place):
    """A case with its timeline."""

    async def mail(self, name: str, date: str) -> int:
        evidence = await self.add(name, "Nothing is dated here.")
        async with self.engine.begin() as connection:
            query = text(
                "UPDATE evidence SET meta = jsonb_build_object('date', CAST(:d AS text)) WHERE id = :id"
            )
            await connection.execute(query, {"id": evidence, "d": date})
        return evidence

    async def page(
        self, chosen: Chosen | None = None, after: After | None = None, limit: int = 99
    ) -> list[Entry]:
        timeline = Timeline(self.engine)
        forms = await timeline.forms(self.case)
        return await timeline.page(self.case, chosen or Chosen(), forms, after=after, limit=limit)

    async def days(self, chosen: Chosen | None = None) -> list[str]:
        return [entry.at for entry in await self.page(chosen)]


@pytest_asyncio.fixture(loop_scope="session")
async def place(database: str) -> AsyncIterator[Told]:
    engine = create_engine(database, pool_size=4)
    yield Told(engine, await new_case(engine))
    await engine.dispose()


async def test_dates_of_texts_and_mails_stand_in_one_order_each_with_its_place(place: Told) -> None:
    memo = await place.add("memo", "Martha Quill signed on June 4, 2001. In March 2001 nobody had.")
    mail = await place.mail("mail", "2001-05-02T09:00:00+00:00")
    found = await place.page()
    assert [(e.at, e.kind, e.evidence) for e in found] == [
        ("2001-03", "told", memo),
        ("2001-05-02T09:00:00", "mail", mail),
        ("2001-06-04", "told", memo),
    ]
    signed = found[2]
    assert (signed.written, signed.text[signed.start : signed.end]) == ("June 4, 2001", "June 4, 2001")
    assert [one.name for one in signed.named] == ["Martha Quill"]
    timeline = Timeline(place.engine)
    forms = await timeline.forms(place.case)
    assert await timeline.density(place.case, Chosen(), forms) == [
        ("2001-03", 1),
        ("2001-05", 1),
        ("2001-06", 1),
    ]


async def test_a_date_that_may_mean_two_days_is_read_as_the_case_writes_them_and_marked(place: Told) -> None:
    await place.add("a", "It was paid on 3/4/2001, then again on 5/5/2001.")
    [paid, again] = await place.page()
    assert (paid.at, paid.otherwise) == ("2001-03-04", "2001-04-03"), "nothing tells: the month comes first"
    assert (again.at, again.otherwise) == ("2001-05-05", "")
    await place.add("b", "It was sent on 25/12/2000.")
    assert (await Timeline(place.engine).forms(place.case)).reads_day_first
    [_, paid, _] = await place.page()
    assert (paid.at, paid.otherwise) == ("2001-04-03", "2001-03-04")
    await place.add("c", "It was seen on 12/26/2000 and 12/27/2000.")
    assert (await place.page())[3].at == "2001-03-04", "most of them begin with the month"


async def test_entries_are_chosen_by_kind_by_day_and_by_who_is_named(place: Told) -> None:
    await place.add("a", "Martha Quill signed on June 4, 2001.")
    await place.add("b", "Robert Tallow left on June 9, 2001.")
    await place.mail("mail", "2001-06-05T09:00:00")
    assert await place.days(Chosen(("mail",))) == ["2001-06-05T09:00:00"]
    assert await place.days(Chosen(since="2001-06-05")) == ["2001-06-05T09:00:00", "2001-06-09"]
    assert await place.days(Chosen(until="2001-06-05")) == ["2001-06-04", "2001-06-05T09:00:00"]
    async with place.engine.connect() as connection:
        rows = await connection.execute(text("SELECT name, id FROM entities"))
        names = {row[0]: row[1] for row in rows}
    assert await place.days(Chosen(about=names["Robert Tallow"])) == ["2001-06-09"]
    assert await place.days(Chosen(about=10**9)) == []


async def test_a_mail_tells_its_people_by_name_or_else_by_address(place: Told) -> None:
    mail = await place.mail("mail", "2001-06-05T09:00:00")
    people = {
        "from": [{"name": "Martha Quill", "address": "m@quill.example"}],
        "to": [{"name": "", "address": "r@tallow.example"}, {"name": "Ann Orr", "address": "a@orr.example"}],
    }
    async with place.engine.begin() as connection:
        query = text("UPDATE evidence SET meta = meta || CAST(:people AS jsonb) WHERE id = :id")
        await connection.execute(query, {"people": json.dumps(people), "id": mail})
    [entry] = await place.page()
    assert (entry.sender, entry.receivers) == ("Martha Quill", "r@tallow.example, Ann Orr")


async def test_when_a_mail_was_sent_is_told_once_and_what_it_tells_beside(place: Told) -> None:
    head = "Subject: Since 1 May 2001\nFrom: Martha Quill\nDate: Tue, 5 June 2001 09:00\n\n"
    mail = await place.add("mail", f"{head}Ole, I signed on 4 June 2001.")
    memo = await place.add("memo", "Date: 5 June 2001\n\nNobody signed.")
    async with place.engine.begin() as connection:
        query = text(
            "UPDATE evidence SET media_type = 'message/rfc822', "
            'meta = \'{"date": "2001-06-05T09:00:00"}\' WHERE id = :id'
        )
        await connection.execute(query, {"id": mail})
    assert [(one.at, one.kind, one.evidence) for one in await place.page()] == [
        ("2001-05-01", "told", mail),
        ("2001-06-04", "told", mail),
        ("2001-06-05", "told", memo),
        ("2001-06-05T09:00:00", "mail", mail),
    ]


async def test_pages_together_hold_each_entry_once(place: Told) -> None:
    await place.add("a", " ".join(f"On June {day}, 2001 it rained." for day in (3, 1, 2, 1, 3)))
    await place.add("b", "On June 1, 2001 it rained.")
    whole = [(entry.at, entry.evidence, entry.start) for entry in await place.page()]
    assert whole == sorted(whole)
    seen: list[tuple[str, int, int]] = []
    after = None
    for _ in range(9):
        page = await place.page(after=after, limit=2)
        if not page:
            break
        seen += [(entry.at, entry.evidence, entry.start) for entry in page]
        after = After(page[-1].at, page[-1].evidence, page[-1].start, page[-1].kind)
    assert seen == whole
    assert len(whole) == 6


async def test_hidden_evidence_and_rejected_dates_are_no_part_of_it(place: Told) -> None:
    memo = await place.add("a", "Martha Quill signed on June 4, 2001.")
    mail = await place.mail("mail", "2001-06-05T09:00:00")
    for evidence in (memo, mail):
        row = await place.evidence.get(evidence)
        assert await place.evidence.hide(evidence, row.upload, hidden=True)
    assert await place.days() == []
    assert (
        await Timeline(place.engine).density(
            place.case, Chosen(), await Timeline(place.engine).forms(place.case)
        )
        == []
    )
    row = await place.evidence.get(memo)
    assert await place.evidence.hide(memo, row.upload, hidden=False)
    assert "2001-06-04" in await place.days()
    async with place.engine.begin() as connection:
        await connection.execute(text("UPDATE entities SET status = 'rejected' WHERE kind = 'date'"))
    assert "2001-06-04" not in await place.days()


def test_a_long_sentence_is_cut_to_whole_words_around_the_place() -> None:
    words = " ".join(["copper"] * 200)
    line = f"{words} on 3 May 2024 {words}."
    start = line.index("3 May")
    first, last = sentence_around(line, start, start + 10, most=100)
    assert last - first <= 100
    assert first <= start
    assert last >= start + 10
    assert line[first:last].split()[0] == "copper" == line[first:last].split()[-1]
