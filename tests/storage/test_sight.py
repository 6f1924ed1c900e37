"""What is in sight: neither removed nor found in nothing but what is; in every order of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.arrivals import Arrivals, Arriving
from storage.blobs_disk import DiskBlobs
from storage.database import create_engine
from storage.departed import Departed
from storage.departures import Departures, Leaver
from storage.evidence import EvidenceStore, UnknownEvidence
from storage.journal import CustodyJournal
from tests.case_rows import new_case, new_evidence
from tests.conftest import empty


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@dataclass
class Model:
    """The rule in its simplest form; a place is the number of what it is in, None for by itself."""

    places: list[list[int | None]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)

    def seen(self) -> set[int]:
        seen: set[int] = set()
        while True:
            more = {
                one
                for one, places in enumerate(self.places)
                if one not in self.removed and any(place is None or place in seen for place in places)
            }
            if more == seen:
                return seen
            seen = more

    def within(self, one: int) -> set[int | None]:
        inside: set[int | None] = {one}
        while (
            more := {each for each, places in enumerate(self.places) if inside.intersection(places)} - inside
        ):
            inside |= more
        return inside


KINDS = st.sampled_from(["add", "add", "remove", "remove", "restore", "again", "anew"])
STEPS = st.lists(st.tuples(KINDS, st.integers(0, 9), st.integers(0, 9)), max_size=24)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_after_whatever_happened_exactly_what_has_a_place_in_sight_is_in_sight(
    engine: AsyncEngine, database: str, tmp_path: Path, steps: list[tuple[str, int, int]]
) -> None:
    await empty(database)
    case = await new_case(engine)
    evidence, arrivals = EvidenceStore(engine), Arrivals(engine, DiskBlobs(tmp_path))
    model, ids, uploads = Model(), list[int](), list[str]()
    for number, (kind, a, b) in enumerate([("add", 9, 9), *steps]):
        one, other = a % max(len(ids), 1), b % (len(ids) + 1)
        place = None if other == len(ids) else other
        parent = None if place is None else ids[place]
        upload = f"upload-0-{number}"
        name = f"{one if kind != 'add' else len(ids):064x}"
        new = new_evidence(case, name, upload=upload, parent_id=parent)
        if kind == "add":
            await arrivals.expect(Arriving(upload, case, parent or 0, "a.txt"), name)
            ids.append((await evidence.register(new)).id)
            uploads.append(upload)
            model.places.append([place])
        elif kind in ("remove", "restore"):
            told = await evidence.hide(ids[one], uploads[one], hidden=kind == "remove")
            (model.removed.add if kind == "remove" else model.removed.discard)(one)
            assert told is not None
            hidden = {number for number in range(len(ids)) if number not in model.seen()}
            assert {ids.index(row) for row, away in told.hidden.items() if away} <= hidden
            assert {ids.index(row) for row, away in told.hidden.items() if not away} <= model.seen()
            assert ids[one] in told.hidden
        elif kind == "again":
            await arrivals.expect(Arriving(upload, case, parent or 0, "b.txt"), name)
            await arrivals.spare(upload, name)
            model.places[one].append(place)
        elif not await evidence.take_over(ids[one], new, instead_of=uploads[one]):
            assert place in model.within(one)
        else:  # the place of its earlier upload is none any more
            assert place not in model.within(one)
            uploads[one] = upload
            model.removed.discard(one)
            model.places[one][0] = place
        shown = {ids.index(row.id) for row in await evidence.of_case(case)}
        assert shown == model.seen()
    removed = {ids.index(row.id) for row in await evidence.of_case(case, hidden=True)}
    assert removed == model.removed


async def family(engine: AsyncEngine) -> tuple[str, EvidenceStore, int]:
    case = await new_case(engine)
    evidence = EvidenceStore(engine)
    return case, evidence, (await evidence.register(new_evidence(case, "whole", upload="upload-0-w"))).id


async def test_what_arrives_in_hidden_evidence_is_hidden_and_comes_back_with_it(engine: AsyncEngine) -> None:
    case, evidence, whole = await family(engine)
    await evidence.hide(whole, "upload-0-w", hidden=True)
    child = await evidence.register(new_evidence(case, "child", upload="upload-0-c", parent_id=whole))
    grandchild = await evidence.register(new_evidence(case, "g", upload="upload-0-g", parent_id=child.id))
    assert await evidence.hidden([whole, child.id, grandchild.id]) == dict.fromkeys(
        [whole, child.id, grandchild.id], True
    )
    sight = await evidence.hide(whole, "upload-0-w", hidden=False)
    assert sight is not None
    assert sight.hidden == dict.fromkeys([whole, child.id, grandchild.id], False)


async def test_no_child_slips_in_while_what_it_is_in_is_being_hidden(engine: AsyncEngine) -> None:
    case, evidence, whole = await family(engine)
    for number in range(20):
        upload, name = f"upload-0-{number}", f"child-{number}"
        await asyncio.gather(
            evidence.register(new_evidence(case, name, upload=upload, parent_id=whole)),
            evidence.hide(whole, "upload-0-w", hidden=number % 2 == 0),
        )
        states = await evidence.hidden([row.id for row in await evidence.of_case(case)])
        assert (len(states), set(states.values()) - {False}) == (0 if number % 2 == 0 else number + 2, set())


async def test_nothing_is_registered_in_what_is_on_its_way_out_or_gone(engine: AsyncEngine) -> None:
    case, evidence, whole = await family(engine)
    departures = Departures(engine, CustodyJournal(engine))
    departure = await departures.begin(Leaver("upload-0-w", f"case:{case}", case, "ann", ""))
    child = new_evidence(case, "child", upload="upload-0-c", parent_id=whole)
    with pytest.raises(Departed):
        await evidence.register(child)
    await departures.complete(departure)
    with pytest.raises(UnknownEvidence):
        await evidence.register(child)
    assert await evidence.of_case(case) == []


async def test_a_long_chain_and_a_wide_one_are_hidden_whole(engine: AsyncEngine) -> None:
    case, evidence, whole = await family(engine)
    inner, every = whole, [whole]
    for number in range(12):
        row = await evidence.register(new_evidence(case, f"d{number}", parent_id=inner))
        inner = row.id
        every.append(row.id)
    for number in range(30):
        every.append((await evidence.register(new_evidence(case, f"w{number}", parent_id=whole))).id)
    sight = await evidence.hide(whole, "upload-0-w", hidden=True)
    assert sight is not None
    assert sight.hidden == dict.fromkeys(every, True)
    assert await evidence.of_case(case) == []


async def test_an_archive_that_holds_itself_goes_with_what_it_was_found_in(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    case, evidence, whole = await family(engine)
    arrivals, departures = Arrivals(engine, DiskBlobs(tmp_path)), Departures(engine, CustodyJournal(engine))
    own = await evidence.register(new_evidence(case, "q", upload="upload-0-q", parent_id=whole))
    await arrivals.expect(Arriving("upload-0-again", case, own.id, "q.zip"), "q")
    await arrivals.spare("upload-0-again", "q")
    anew = new_evidence(case, "q", upload="upload-0-again", parent_id=own.id)
    assert not await evidence.take_over(own.id, anew, instead_of="upload-0-q")
    departure = await departures.begin(Leaver("upload-0-w", f"case:{case}", case, "ann", ""))
    assert [child.evidence for child in await departures.children(departure)] == [own.id]
    assert await evidence.depth(own.id) == 1
