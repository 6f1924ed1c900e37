"""Accounts, cases with their members, persons of interest, and judgements of entities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.cases import Cases, LastOwner, NotAMember, UnknownPerson
from storage.database import create_engine
from storage.judgements import Judgements, UnknownEntity
from storage.people import EmailTaken, People, RegistrationClosed
from storage.pois import Pois, UnknownPoi
from storage.secrets import Secrets


@pytest_asyncio.fixture(loop_scope="session")
async def tables(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


async def _person(tables: AsyncEngine, name: str) -> str:
    person = await People(tables).register(f"{name}@example.org", name, f"hash of {name}", open_to_all=True)
    return person.id


async def _case(tables: AsyncEngine, owner: str, case: str = "bridge") -> str:
    await Cases(tables).create(case, "A bridge", "", "case-0-x", owner)
    return case


async def test_of_many_who_register_at_once_exactly_one_is_the_first(tables: AsyncEngine) -> None:
    people = People(tables)
    made = await asyncio.gather(
        *(people.register(f"{n}@example.org", "N", "hash", open_to_all=True) for n in range(8))
    )
    assert sorted(person.is_admin for person in made) == [False] * 7 + [True]


async def test_an_address_has_one_account_however_it_is_written(tables: AsyncEngine) -> None:
    people = People(tables)
    made = await people.register(" Ann@Example.org ", "Ann", "hash", open_to_all=True)
    assert made.email == "ann@example.org"
    with pytest.raises(EmailTaken):
        await people.register("ann@example.ORG", "Other", "hash", open_to_all=True)
    assert await people.by_email("ANN@example.org") == (made, "hash")
    assert await people.by_email("bob@example.org") is None


async def test_a_closed_instance_takes_its_first_account_only(tables: AsyncEngine) -> None:
    people = People(tables)
    assert await people.any() is False
    await people.register("ann@example.org", "Ann", "hash", open_to_all=False)
    assert await people.any() is True
    with pytest.raises(RegistrationClosed):
        await people.register("bob@example.org", "Bob", "hash", open_to_all=False)


async def test_a_stronger_hash_takes_the_place_of_a_weaker_one(tables: AsyncEngine) -> None:
    people = People(tables)
    ann = await _person(tables, "ann")
    await people.replace_hash(ann, "stronger")
    found = await people.by_email("ann@example.org")
    assert found is not None
    assert found[1] == "stronger"


async def test_a_case_is_seen_by_its_members_alone(tables: AsyncEngine) -> None:
    cases = Cases(tables)
    ann, bob = await _person(tables, "ann"), await _person(tables, "bob")
    case = await _case(tables, ann)
    assert [row.role for row in await cases.of_user(ann)] == ["owner"]
    assert await cases.of_user(bob) == []
    assert (await cases.get(case, bob), await cases.role(case, bob)) == (None, None)
    person, before = await cases.set_member(case, "BOB@example.org", "viewer")
    assert (person.id, before) == (bob, None)
    assert await cases.role(case, bob) == "viewer"
    assert (await cases.set_member(case, "bob@example.org", "editor"))[1] == "viewer"
    assert [(m.user.name, m.role) for m in await cases.members(case)] == [("ann", "owner"), ("bob", "editor")]
    await cases.remove_member(case, bob)
    assert await cases.role(case, bob) is None
    assert await cases.machine(case) == "case-0-x"


async def test_a_case_without_its_owner_is_not_stored_at_all(tables: AsyncEngine) -> None:
    cases = Cases(tables)
    with pytest.raises(Exception, match="members_user_id_fkey"):
        await cases.create("bridge", "A bridge", "", "case-0-x", "nobody")
    async with tables.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM cases")) == 0


async def test_two_owners_who_remove_each_other_leave_one(tables: AsyncEngine) -> None:
    cases = Cases(tables)
    ann, bob = await _person(tables, "ann"), await _person(tables, "bob")
    for turn in range(5):
        case = await _case(tables, ann, f"case{turn}")
        await cases.set_member(case, "bob@example.org", "owner")
        ends = await asyncio.gather(
            cases.remove_member(case, ann), cases.remove_member(case, bob), return_exceptions=True
        )
        assert [type(end) for end in ends if end is not None] == [LastOwner]
        assert len(await cases.members(case)) == 1


async def test_members_must_exist_and_owners_must_stay(tables: AsyncEngine) -> None:
    cases = Cases(tables)
    ann = await _person(tables, "ann")
    case = await _case(tables, ann)
    with pytest.raises(UnknownPerson):
        await cases.set_member(case, "nobody@example.org", "viewer")
    with pytest.raises(NotAMember):
        await cases.remove_member(case, "nobody")
    with pytest.raises(LastOwner):
        await cases.set_member(case, "ann@example.org", "editor")
    assert (await cases.set_member(case, "ann@example.org", "owner"))[1] == "owner"


async def test_persons_of_interest_stay_within_their_case(tables: AsyncEngine) -> None:
    pois = Pois(tables)
    ann = await _person(tables, "ann")
    one, other = await _case(tables, ann, "one"), await _case(tables, ann, "other")
    made = await pois.add(one, "Ada Example", ["A. Example"], "")
    changed = await pois.change(one, made.id, "Ada B. Example", [], "signed")
    assert (changed.id, changed.name, changed.note) == (made.id, "Ada B. Example", "signed")
    assert changed.aliases == []
    for attempt in (pois.change(other, made.id, "X", [], ""), pois.remove(other, made.id)):
        with pytest.raises(UnknownPoi):
            await attempt
    assert [poi.name for poi in await pois.of_case(one)] == ["Ada B. Example"]
    assert await pois.of_case(other) == []
    await pois.remove(one, made.id)
    assert await pois.of_case(one) == []


async def test_rejected_entities_are_not_counted_and_can_be_taken_back(tables: AsyncEngine) -> None:
    judgements = Judgements(tables)
    case = await _case(tables, await _person(tables, "ann"))
    async with tables.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO entities (case_id, kind, key, name, status) VALUES "
                "(:case, 'person', 'ada', 'Ada', 'suggested'), (:case, 'money', '1', '1 euro', 'suggested')"
            ),
            {"case": case},
        )
    money, ada = await judgements.of_case(case)
    assert (money.name, ada.name) == ("1 euro", "Ada")
    await judgements.judge(money.id, "rejected")
    assert [row.id for row in await judgements.of_case(case, status="suggested")] == [ada.id]
    assert (await Cases(tables).counts(case))["entities"] == 1
    await judgements.judge(money.id, "suggested")
    assert (await Cases(tables).counts(case))["entities"] == 2
    assert await judgements.case_of(ada.id) == case
    with pytest.raises(UnknownEntity):
        await judgements.judge(12345, "accepted")


async def test_a_secret_is_forgotten_when_its_time_is_over(redis_client: Redis) -> None:
    secrets = Secrets(redis_client)
    await secrets.put("name", "öpen", keep_s=60)
    assert await secrets.get("name") == "öpen"
    await redis_client.pexpire("secret:name", 1)
    await asyncio.sleep(0.01)
    assert await secrets.get("name") == ""
