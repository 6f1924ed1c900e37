"""Searches across two cases: what is found, for whom, and what happens to it later."""

from __future__ import annotations

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.detective import drop_findings, explain_findings, record_verdict
from handlers.job import Permanent
from machines.detective import DropFindings, ExplainFindings, RecordVerdict
from storage.findings import FindingRow
from storage.pois import Pois
from tests.handlers.detective_cases import Search, two_cases
from tests.handlers.small_case import WatchedJob

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def search(rows: AsyncEngine, redis_client: Redis) -> Search:
    return await two_cases(rows, redis_client)


def of_kind(found: list[FindingRow], kind: str) -> list[FindingRow]:
    return [one for one in found if one.kind == kind]


def names(finding: FindingRow) -> list[str]:
    return [node.name for node in finding.path]


async def test_a_person_of_one_case_who_is_named_in_another_is_found_with_the_place(search: Search) -> None:
    found = of_kind(await search.run(), "named")
    assert [names(one) for one in found] == [["Martha Quilling", "Martha Quilling", "visitors"]]
    (one,) = found
    assert [(edge.kind, edge.label) for edge in one.edges] == [
        ("same", "same full name"),
        ("named", "named in"),
    ]
    assert one.sentence == (
        "Martha Quilling, a person of interest of “harbour”, is named in “visitors” (case “quarry”). "
        "Joined by the same full name."
    )
    (source,) = one.sources
    (mark,) = source.marked
    assert (source.title, source.snippet[slice(*mark)]) == ("visitors", "Martha Quilling")
    assert one.cases == ["harbour", "quarry"]
    assert 0.5 < one.confidence < 1


async def test_a_name_that_the_text_alone_did_not_tell_for_a_persons_is_one_if_somebody_entered_them(
    search: Search,
) -> None:
    """Rules know given names; others are of no kind, as “Quilling” would be if “Martha” were unknown."""
    before = of_kind(await search.run(), "named")
    await search.do("UPDATE entities SET kind = 'name' WHERE name IN ('Martha Quilling', 'Piet Osman')")
    found = await search.run()
    (one,) = of_kind(found, "named")
    assert (names(one), one.sentence) == (names(before[0]), before[0].sentence)
    assert [node.kind for node in one.path] == ["poi", "person", "text/plain"]
    assert not [one for one in found if "Piet Osman" in names(one)]


async def test_an_address_of_two_cases_is_found_and_a_date_is_no_bridge(search: Search) -> None:
    found = await search.run()
    assert ["rent", "ledger@vellum.example", "ledger@vellum.example", "contract"] in [
        names(one) for one in of_kind(found, "shared")
    ]
    assert not [one for one in found if "June" in names(one)]


async def test_two_persons_whom_no_file_names_together_are_connected_through_a_third_thing(
    search: Search,
) -> None:
    found = of_kind(await search.run(), "connected")
    (one,) = [f for f in found if {"Martha Quilling", "Lene Dahl"} <= set(names(f))]
    assert "ledger@vellum.example" in names(one)
    assert "Martha Quilling and Lene Dahl are connected through the e-mail address" in one.sentence
    assert [source.title for source in one.sources] == ["rent", "contract"]
    for source in one.sources:
        assert len(source.marked) == 2


async def test_documents_that_say_similar_things_without_a_link_are_found_below_what_is_said(
    search: Search,
) -> None:
    found = await search.run()
    (near,) = of_kind(found, "near")
    assert names(near) == ["weather", "survey"]
    assert not near.explicit
    assert near.score < 0.5
    said = [one.explicit for one in found]
    assert said == sorted(said, reverse=True)


async def test_names_spelt_alike_are_told_as_a_likeness(search: Search) -> None:
    (alike,) = of_kind(await search.run(), "alike")
    assert names(alike)[:2] == ["Tomas Breck", "Thomas Breckk"]
    assert "may be the same person" in alike.sentence
    assert not alike.explicit


async def test_two_ends_are_connected_by_the_ways_between_them(search: Search) -> None:
    ends = (await search.poi("Tomas Breck"), await search.poi("Lene Dahl"))
    found = await search.run(about=ends)
    assert [names(one)[0] for one in found] == ["Tomas Breck"] * len(found)
    assert [names(one)[-1] for one in found] == ["Lene Dahl"] * len(found)
    assert not found  # more than four hops lie between them
    ends = (await search.poi("Martha Quilling"), await search.poi("Lene Dahl"))
    (one,) = await search.run(about=ends)
    assert names(one)[1] == "rent"


async def test_a_search_about_evidence_finds_what_names_the_same_rare_things(search: Search) -> None:
    found = await search.run(about=(search.cases["harbour"].evidence["rent"],))
    linked = of_kind(found, "linked")
    assert {names(one)[-1] for one in linked} >= {"contract", "visitors"}
    assert all(names(one)[0] == "rent" for one in linked)


async def test_a_search_in_one_case_sees_nothing_of_the_other(search: Search) -> None:
    found = await search.run(cases=("quarry",))
    assert {case for one in found for case in one.cases} <= {"quarry"}


async def test_nobody_searches_cases_of_others(search: Search) -> None:
    await search.do("DELETE FROM members WHERE case_id = 'harbour'")
    assert {case for one in await search.run() for case in one.cases} <= {"quarry"}
    with pytest.raises(Permanent, match="no member of any of these cases"):
        await search.run(cases=("harbour",))
    with pytest.raises(Permanent, match="no member of 1 of these cases"):
        await search.run(cases=("harbour", "quarry"))


async def test_a_right_that_ends_takes_the_findings_out_of_sight_and_back(search: Search) -> None:
    assert of_kind(await search.run(), "named")
    await search.do("DELETE FROM members WHERE case_id = 'quarry'")
    found, more = await search.findings.of_search(search.machine, "ann", await search.titles())
    assert {case for one in found for case in one.cases} <= {"harbour"}
    assert more > 0
    await search.do("INSERT INTO members (case_id, user_id, role) VALUES ('quarry', 'ann', 'viewer')")
    assert of_kind(await search.read(), "named")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE evidence SET hidden_at = now() WHERE title = 'visitors'",
        "UPDATE entities SET status = 'rejected' WHERE name = 'Martha Quilling' AND case_id = 'quarry'",
        "UPDATE cases SET hidden_at = now() WHERE id = 'quarry'",
    ],
)
async def test_what_is_hidden_or_rejected_is_in_no_finding_any_more(search: Search, change: str) -> None:
    assert of_kind(await search.run(), "named")
    await search.do(change)
    assert not of_kind(await search.read(), "named")
    assert not of_kind(await search.run(), "named")


async def test_a_finding_is_of_its_user_alone(search: Search) -> None:
    await search.run()
    found, _ = await search.findings.of_search(search.machine, "bob", {"harbour", "quarry"})
    assert found == []


async def test_a_dismissed_finding_does_not_return_until_that_is_taken_back(search: Search) -> None:
    (named,) = of_kind(await search.run(), "named")
    assert await judge(search, named, -1, at=1.0)
    assert of_kind(await search.read(), "named")[0].verdict == -1
    assert not of_kind(await search.run(), "named")
    search.machine = "detective-0-b"
    assert not of_kind(await search.run(), "named")
    await search.do("UPDATE finding_verdicts SET value = 0")
    assert of_kind(await search.run(), "named")


async def test_an_accepted_finding_raises_what_touches_it(search: Search) -> None:
    before = await search.run()
    (named,) = of_kind(before, "named")
    assert await judge(search, named, 1, at=1.0)
    after = {one.fingerprint: one.score for one in await search.run()}
    touching = [one for one in before if set(one.nodes) & set(named.nodes) and one is not named]
    assert touching
    for one in touching:
        assert after[one.fingerprint] > one.score


async def test_verdicts_are_noted_as_attention_whose_sum_is_what_stands(search: Search) -> None:
    (named,) = of_kind(await search.run(), "named")
    for at, value in enumerate((1, 1, -1, 0, 1), start=1):
        assert await judge(search, named, value, at=float(at))
        assert await judge(search, named, value, at=float(at))  # a repeat
    async with search.database.connect() as connection:
        noted = (
            await connection.execute(
                text("SELECT what, value, case_id FROM attention WHERE node = :node ORDER BY id"),
                {"node": named.sources[0].chunk},
            )
        ).all()
    assert [(what, value) for what, value, _ in noted] == [
        ("accepted", 1.0), ("accepted", -1.0), ("dismissed", -1.0), ("dismissed", 1.0), ("accepted", 1.0),
    ]  # fmt: skip
    assert {case for _, _, case in noted} == {"quarry"}


async def test_a_word_that_comes_late_does_not_overrule_a_later_one(search: Search) -> None:
    (named,) = of_kind(await search.run(), "named")
    assert await judge(search, named, -1, at=9.0)
    assert await judge(search, named, 1, at=5.0)
    assert of_kind(await search.read(), "named")[0].verdict == -1


async def test_nobody_judges_what_they_cannot_see(search: Search) -> None:
    (named,) = of_kind(await search.run(), "named")
    await search.do("DELETE FROM members WHERE case_id = 'quarry'")
    assert not await judge(search, named, 1, at=1.0)


async def test_a_person_of_interest_who_is_removed_takes_the_findings_along(search: Search) -> None:
    (named,) = of_kind(await search.run(), "named")
    await Pois(search.database).remove("harbour", await search.poi("Martha Quilling"))
    async with search.database.connect() as connection:
        left = (await connection.execute(text("SELECT fingerprint FROM findings"))).scalars().all()
    assert named.fingerprint not in left


async def test_the_same_data_gives_the_same_findings_to_the_last_bit(search: Search) -> None:
    first = await search.run()
    search.machine = "detective-0-b"
    assert await search.run() == first


async def test_the_limit_holds_and_likenesses_keep_a_place(search: Search) -> None:
    found = await search.run(limit=4)
    assert len(found) <= 4
    assert [one.explicit for one in found].count(False) == 1


async def test_a_worker_that_comes_late_stores_nothing_for_a_search_that_was_dropped(search: Search) -> None:
    found = await search.run()
    job = WatchedJob()
    explain = ExplainFindings(search.machine, "ann")
    await explain_findings(explain, job, stores=search.stores)  # a second run leaves what the first one left
    assert await search.read() == found
    await drop_findings(DropFindings(search.machine), job, findings=search.findings)
    await search.findings.put(search.machine, "ann", found)
    assert await search.read() == []


async def test_what_a_search_is_about_must_be_in_its_cases(search: Search) -> None:
    with pytest.raises(Permanent, match="in none of its cases"):
        await search.run(cases=("quarry",), about=(await search.poi("Tomas Breck"),))


async def judge(search: Search, finding: FindingRow, value: int, *, at: float) -> bool:
    job = WatchedJob(id=f"{search.machine}:{at}:0")
    effect = RecordVerdict(search.machine, "ann", finding.fingerprint, value, at)
    titles = await search.titles()
    await record_verdict(effect, job, stores=search.stores)
    return bool(
        (await search.findings.of_search(search.machine, "ann", titles))[0]
    ) and finding.fingerprint in {one.fingerprint for one in await search.read()}
