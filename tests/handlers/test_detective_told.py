"""Relations in Detective mode: what evidence says that one does to another, as a link with its place."""

from __future__ import annotations

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.findings import FindingRow
from storage.pois import Pois
from storage.same_as import Pair, SameNames
from tests.handlers.detective_cases import Search
from tests.handlers.leaving_case import Hashed
from tests.handlers.small_case import TABLES, add_user, small_case

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILLER = "nothing else was written down that day by anybody who worked at the office near the quay"
DOCUMENTS = {
    "note": [f"Anna Orrin paid Bertil Vask 5,000 kroner in cash on a Monday in May, and {FILLER}."],
    "letter": [f"In the letter Cecil Dorn asks that Bertil Vask be given the keys of the store; {FILLER}."],
    "list": ["Anna Orrin\nBertil Vask\nthe driver\n"],
    "menu": [f"Fish is served on Fridays, and {FILLER}."],
}
PEOPLE = ("Anna Orrin", "Bertil Vask", "Cecil Dorn")
SAYS = "Anna Orrin paid Bertil Vask"


@pytest_asyncio.fixture(loop_scope="session")
async def search(rows: AsyncEngine, redis_client: Redis) -> Search:
    """A case in which a note tells of a payment, without the relation."""
    await add_user(rows, "ann")
    made = await small_case(
        rows,
        redis_client,
        Hashed(),
        case="quay",
        documents=DOCUMENTS,
        entities={"poi": ("Anna Orrin", "Cecil Dorn"), "person": ("Bertil Vask",)},
        pois={"Anna Orrin": (), "Cecil Dorn": ()},
    )
    async with rows.begin() as connection:
        member = {"case_id": "quay", "user_id": "ann", "role": "viewer"}
        await connection.execute(insert(TABLES["members"]).values(member))
    return Search(rows, {"quay": made})


async def tell(search: Search, subject: str, object_: str, source: str = "rule") -> None:
    """The note says that the one paid the other."""
    made = search.cases["quay"]
    await search.do(
        'INSERT INTO relations (case_id, chunk_id, subject, predicate, object, start, "end", source) '
        "VALUES ('quay', :chunk, :subject, 'paid', :object, 0, :end, :source)",
        chunk=made.chunk("note"),
        subject=await made.entity(subject),
        object=await made.entity(object_),
        end=len(SAYS),
        source=source,
    )


def of_kind(found: list[FindingRow], kind: str) -> list[FindingRow]:
    return [one for one in found if one.kind == kind]


async def test_what_evidence_says_of_two_is_a_link_with_its_very_characters(search: Search) -> None:
    bertil = await search.cases["quay"].entity("Bertil Vask")
    await tell(search, "Anna Orrin", "Bertil Vask")
    (one,) = of_kind(await search.run(about=(await search.poi("Anna Orrin"), bertil)), "related")
    assert one.sentence == "Anna Orrin paid Bertil Vask, in “note”."
    assert [node.name for node in one.path] == ["Anna Orrin", "Bertil Vask"]
    assert [(edge.kind, edge.label, edge.explicit) for edge in one.edges] == [("relation", "paid →", True)]
    (source,) = one.sources
    (mark,) = source.marked
    assert (source.title, source.snippet[slice(*mark)]) == ("note", SAYS)
    assert one.evidence == [search.cases["quay"].evidence["note"]]
    assert one.explicit
    assert one.score > 0.5


async def test_from_the_other_end_the_same_is_said(search: Search) -> None:
    bertil = await search.cases["quay"].entity("Bertil Vask")
    await tell(search, "Anna Orrin", "Bertil Vask")
    (one,) = of_kind(await search.run(about=(bertil, await search.poi("Anna Orrin"))), "related")
    assert one.sentence == "Anna Orrin paid Bertil Vask, in “note”."
    assert [edge.label for edge in one.edges] == ["← paid"]


async def test_a_path_goes_on_from_a_relation_to_where_the_name_stands_again(search: Search) -> None:
    await tell(search, "Anna Orrin", "Bertil Vask")
    (one,) = of_kind(await search.run(), "connected")
    assert [node.name for node in one.path] == ["Anna Orrin", "Bertil Vask", "letter", "Cecil Dorn"]
    assert [edge.kind for edge in one.edges] == ["relation", "named", "named"]
    assert "through Bertil Vask: “note” tells: Anna Orrin paid Bertil Vask, and “letter”" in one.sentence
    assert [source.title for source in one.sources] == ["note", "letter"]
    assert set(one.evidence) == {search.cases["quay"].evidence[name] for name in ("note", "letter")}


async def test_a_pair_is_told_once_and_by_the_relation(search: Search) -> None:
    await tell(search, "Anna Orrin", "Cecil Dorn")
    found = await search.run()
    (one,) = [f for f in found if {f.path[0].name, f.path[-1].name} == {"Anna Orrin", "Cecil Dorn"}]
    assert one.kind == "related"


async def test_what_one_statement_says_of_several_is_told_once(search: Search) -> None:
    added = await Pois(search.database).add("quay", "Bertil Vask", [], "")
    bertil = await search.cases["quay"].entity("Bertil Vask")
    await search.do("UPDATE entities SET poi_id = :poi WHERE id = :id", poi=added.id, id=bertil)
    for name in ("Cecil Dorn", "Bertil Vask"):
        await tell(search, "Anna Orrin", name)
    (one,) = of_kind(await search.run(), "related")
    assert one.sentence in (
        "Anna Orrin paid Cecil Dorn, in “note”; the same is said of Bertil Vask.",
        "Anna Orrin paid Bertil Vask, in “note”; the same is said of Cecil Dorn.",
    )


async def test_what_a_model_read_is_less_sure_and_named_as_such(search: Search) -> None:
    await tell(search, "Anna Orrin", "Cecil Dorn")
    (by_rule,) = of_kind(await search.run(), "related")
    await search.do("UPDATE relations SET source = 'tiny:1b'")
    (by_model,) = of_kind(await search.run(), "related")
    assert by_model.confidence < by_rule.confidence < 1.0
    assert by_model.sentence == "Anna Orrin paid Cecil Dorn, in “note”. As tiny:1b reads it."
    assert "reads it" not in by_rule.sentence


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE evidence SET hidden_at = now() WHERE title = 'note'",
        "UPDATE entities SET status = 'rejected' WHERE name = 'Cecil Dorn'",
        "DELETE FROM members WHERE case_id = 'quay'",
    ],
)
async def test_a_relation_is_told_only_to_whom_may_see_all_of_it(search: Search, change: str) -> None:
    await tell(search, "Anna Orrin", "Cecil Dorn")
    assert of_kind(await search.run(), "related")
    await search.do(change)
    assert not of_kind(await search.read(), "related")
    if "members" not in change:
        assert not of_kind(await search.run(), "related")


async def test_what_everybody_does_to_everybody_says_less_than_what_one_does(search: Search) -> None:
    await tell(search, "Anna Orrin", "Cecil Dorn")
    (rare,) = of_kind(await search.run(), "related")
    for _ in range(8):
        await tell(search, "Bertil Vask", "Cecil Dorn")
    (common,) = of_kind(await search.run(), "related")
    assert common.score < rare.score


async def test_names_that_somebody_found_to_be_the_same_are_one(search: Search) -> None:
    made = search.cases["quay"]
    await search.do(
        "INSERT INTO entities (case_id, kind, key, name, status) "
        "VALUES ('quay', 'phone', '+4755512345', '+47 555 12345', 'suggested')"
    )
    phone = await made.entity("+47 555 12345")
    await search.do(
        'INSERT INTO mentions (chunk_id, entity_id, start, "end") VALUES (:chunk, :entity, 0, 5)',
        chunk=made.chunk("menu"),
        entity=phone,
    )
    ends = (await search.poi("Cecil Dorn"), made.evidence["menu"])
    assert not await search.run(about=ends)
    verdicts = SameNames(search.database)
    bertil = await made.entity("Bertil Vask")
    await verdicts.judge("quay", Pair.of(bertil, other=phone), "same", [], "ann")
    (one,) = await search.run(about=ends)
    why = "verdict that the two names are one"
    assert ("same", why) in [(edge.kind, edge.label) for edge in one.edges]
    assert one.sentence.endswith(f"Joined by the {why}.")


async def test_names_that_somebody_found_to_be_different_are_two(search: Search) -> None:
    made = search.cases["quay"]
    statement = (
        "INSERT INTO entities (case_id, kind, key, name, status) "
        "VALUES ('quay', 'email', 'anna.orrin@quay.example', 'anna.orrin@quay.example', 'suggested')"
    )
    await search.do(statement)
    address = await made.entity("anna.orrin@quay.example")
    await search.do(
        'INSERT INTO mentions (chunk_id, entity_id, start, "end") VALUES (:chunk, :entity, 0, 5)',
        chunk=made.chunk("menu"),
        entity=address,
    )
    anna = await search.poi("Anna Orrin")
    assert await search.run(about=(anna, made.evidence["menu"])), "the address is made of the name"
    verdicts = SameNames(search.database)
    judged = await verdicts.judge("quay", Pair.of(address, poi=anna), "different", [], "ann")
    assert not await search.run(about=(anna, made.evidence["menu"]))
    await verdicts.take_back("quay", judged.id)
    assert await search.run(about=(anna, made.evidence["menu"]))


async def test_three_who_stand_in_one_text_alone_are_one_finding(search: Search) -> None:
    words = f"{PEOPLE[0]}, {PEOPLE[1]} and {PEOPLE[2]} met at the store, and {FILLER}."
    await Pois(search.database).add("quay", PEOPLE[1], [], "")
    await search.do("DELETE FROM mentions")
    made = search.cases["quay"]
    await search.do(
        'UPDATE chunks SET text = :words, "end" = :end WHERE id = :chunk',
        words=words,
        end=len(words),
        chunk=made.chunk("menu"),
    )
    for name in PEOPLE:
        await search.do(
            'INSERT INTO mentions (chunk_id, entity_id, start, "end") VALUES (:chunk, :entity, :start, :end)',
            chunk=made.chunk("menu"),
            entity=await made.entity(name),
            start=words.index(name),
            end=words.index(name) + len(name),
        )
    (one,) = of_kind(await search.run(), "together")
    assert one.sentence.endswith("are named side by side in “menu”, and in no other running text.")
    assert all(name in one.sentence for name in PEOPLE)


async def test_headers_lists_labels_and_quotations_are_not_running_text(search: Search) -> None:
    said = (
        "all of the barrels had been moved out of the store in the night by Anna Orrin and a driver whom"
        " nobody at the gate had seen"
    )
    texts = {
        "mail": f"From: Anna Orrin\nTo: Cecil Dorn\n\nWe heard that {said} before.\n",
        "answer": f"Not so.\n-----Original Message----- Anna Orrin wrote\n> We heard that {said} before.\n",
        "trial": "MR. ORRIN: I have\nAnna Orrin: I was there in the night and saw nothing of that kind.\n",
    }
    for name, words in texts.items():
        await search.do(
            "INSERT INTO evidence (case_id, upload, uploaded_by, filename, title, sha256, bytes, media_type,"
            " meta, text, pages, summary, tags) VALUES ('quay', '', '', :n, :n, :n, 1, 'text/plain', '{}',"
            " :t, '[]', '[]', '[]')",
            n=name,
            t=words,
        )
        await search.do(
            'INSERT INTO chunks (case_id, evidence_id, ordinal, page, start, "end", boxes, text) '
            "SELECT 'quay', id, 0, 0, 0, :length, '[]', :t FROM evidence WHERE title = :n",
            n=name,
            t=words,
            length=len(words),
        )
        start = -1
        while (start := words.find("Anna Orrin", start + 1)) >= 0:
            await search.do(
                'INSERT INTO mentions (chunk_id, entity_id, start, "end") SELECT c.id, :e, :s, :s + 10'
                " FROM chunks c JOIN evidence v ON v.id = c.evidence_id WHERE v.title = :n",
                e=await search.cases["quay"].entity("Anna Orrin"),
                s=start,
                n=name,
            )
    facts = await search.stores.facts.facts("quay", "Quay")
    title = {file.node: file.title for file in facts.files}
    title_of = {chunk: title[evidence] for chunk, evidence, *_ in facts.chunks.tolist()}
    entity = await search.cases["quay"].entity("Anna Orrin")
    places = [
        (title_of[chunk], start, prose > 0, before)
        for chunk, named, start, _, prose, before, *_ in facts.mentions.tolist()
        if named == entity and title_of[chunk] in texts
    ]
    running = [(name, texts[name][start : start + 18]) for name, start, plain, _ in places if plain]
    assert running == [("mail", "Anna Orrin and a d"), ("answer", "Anna Orrin and a d")]
    # What stands before the quoted name is what stood before it in the mail, wrapped and marked or not.
    assert len({before for name, _, plain, before in places if plain}) == 1


@pytest.mark.parametrize("verdict", [None, "text"])
async def test_sources_stay_in_order_of_the_path(search: Search, verdict: str | None) -> None:
    await tell(search, "Anna Orrin", "Bertil Vask")
    first = await search.run()
    search.machine = f"detective-0-{verdict}"
    assert await search.run() == first
    async with search.database.connect() as connection:
        drafts = (await connection.execute(text("SELECT drafts::text FROM finding_drafts"))).scalars().all()
    assert not any("paid" in one for one in drafts), "drafts hold ids and numbers alone"
