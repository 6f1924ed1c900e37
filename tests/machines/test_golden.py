"""Released charts are what they were: their definitions by hash, their behaviour by journals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from machines.chart import all_states, chart_hash, events_of
from machines.releases import MIGRATIONS
from machines.snapshot import Snapshot
from machines.step import CHARTS, allowed, allowed_from
from tests.machines.golden import definitions, journals
from tests.machines.golden.__main__ import AlreadyRecorded, record
from tests.machines.golden.lives import LIVES
from tests.machines.imagined import FIRST, MIGRATION, FirstParcel, Recall, SecondParcel, release, to_second

JOURNALS = journals.recorded()
NAMES = [f"{journal['kind']}-v{journal['version']}-{journal['name']}" for journal in JOURNALS]

NO_LONGER_TAKEN: dict[tuple[str, int], frozenset[str]] = {}
"""By kind and recorded version: events that the present chart was deliberately freed of."""

TAKEN_SINCE: dict[tuple[str, int], frozenset[str]] = {
    ("upload", 1): frozenset({"retry"}),  # a file that never came whole is expected anew
}
"""By kind and recorded version: events that the present chart takes where that one refused them."""


@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_a_definition_changes_only_with_its_version_and_a_migration(kind: str) -> None:
    assert definitions.faults_of(CHARTS[kind], definitions.recorded()) == []


@pytest.mark.parametrize("journal", JOURNALS, ids=NAMES)
def test_machines_of_every_released_version_live_on_as_they_did(journal: journals.Journal) -> None:
    if journal["version"] == CHARTS[journal["kind"]].version:
        assert journals.replay(journal) == []
    else:
        release = journal["kind"], journal["version"]
        dropped = NO_LONGER_TAKEN.get(release, frozenset())
        gained = TAKEN_SINCE.get(release, frozenset())
        assert journals.continue_from_each(journal, dropped, gained) == []


@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_the_journals_of_a_chart_enter_each_of_its_states_and_use_each_of_its_events(kind: str) -> None:
    chart = CHARTS[kind]
    mine = [j for j in JOURNALS if (j["kind"], j["version"]) == (kind, chart.version)]
    assert {j["name"] for j in mine} == set(LIVES[kind])
    applied = [noted for journal in mine for noted in journal["steps"] if "snapshot" in noted]
    entered = {state for noted in applied for state in noted["snapshot"]["configuration"]}
    # States that an eventless transition leaves at once are never where a machine rests.
    passed = {s.id for s in all_states(chart) if any(not t.event for t in s.transitions)}
    assert {s.id for s in all_states(chart)} - entered <= passed
    assert {noted["event"]["name"] for noted in applied} - {"spawn"} == set(events_of(chart))
    refusals = {noted["refused"] for journal in mine for noted in journal["steps"] if "refused" in noted}
    assert refusals >= ({"event.not_allowed"} if kind != "notification" else {"result.stale"})


def _changed(kind: str, **attributes: Any) -> Any:
    """The chart with another definition, never used for a machine."""
    chart = CHARTS[kind]
    return type(chart.__name__, (chart,), attributes)


def test_a_definition_that_changed_under_the_same_version_is_told_what_to_do() -> None:
    case = CHARTS["case"]
    another = _changed("case", event_types=case.event_types[:-1])
    sentence, *_ = definitions.faults_of(another, definitions.recorded())
    assert "in its events: raise `version`, add a migration from" in sentence
    assert "python -m tests.machines.golden record case" in sentence


def test_a_new_version_without_a_record_or_a_migration_is_told_what_to_do() -> None:
    another = _changed("case", version=3)
    first, *others = definitions.faults_of(another, definitions.recorded())
    assert first.startswith("version 3 of the case chart is not recorded")
    assert [fault.partition(" (")[0] for fault in others] == [
        f"no migration leads from version {version}" for version in (1, 2)
    ]


def test_a_changed_body_of_an_action_is_found_by_the_journals() -> None:
    def note_title(self: Any, data: Any) -> None:
        self.context.title = data.title.upper()

    another = _changed("case", note_title=note_title)
    assert definitions.faults_of(another, definitions.recorded()) == []  # the definition does not show it
    (journal,) = (j for j in JOURNALS if (j["kind"], j["version"], j["name"]) == ("case", 2, "whole"))
    with release(another):
        (sentence,) = journals.replay(journal)
    assert "event 1 (rename) has another outcome than when it was recorded, in snapshot" in sentence


def parcel_lost(life: journals.Life) -> None:
    life.begin(source="client", role="viewer", address="Main Street 1")
    life.start("LoadParcel")
    life.broke("LoadParcel", "the van is away", temporary=True)
    life.timer("again", stage="loading")
    life.start("LoadParcel")
    life.timer("deadline", stage="loading")
    life.done("StampPapers", "stamped")
    life.timer("again", stage="loading")
    life.done("LoadParcel", "loaded", weight=3)
    life.client("recall")


def parcel_recalled(life: journals.Life) -> None:
    life.begin(source="client", role="viewer", address="Main Street 1")
    life.done("LoadParcel", "loaded", weight=3)
    life.client("recall", role="viewer")
    life.result("StampPapers", "stamped")


@pytest.mark.parametrize("life", [parcel_lost, parcel_recalled])
def test_a_machine_is_brought_up_at_every_point_of_its_life_and_goes_on(life: Any) -> None:
    with release(FirstParcel):
        journal = journals.record("parcel", life.__name__, "case:c1", life)
        assert journals.replay(journal) == []
    with release(SecondParcel):
        assert journals.continue_from_each(journal) == []
    with release(SecondParcel, migrating=False):
        faults = journals.continue_from_each(journal)
    assert len(faults) == len([step for step in journal["steps"] if "snapshot" in step])
    assert "WrongChart" in faults[0]


@pytest.mark.parametrize("part", ["configuration", "context", "awaiting"])
def test_a_migration_that_forgets_a_part_is_found(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(old: Snapshot) -> Snapshot:
        return replace(to_second(old), **{part: getattr(old, part)})

    with release(FirstParcel):
        journal = journals.record("parcel", "lost", "case:c1", parcel_lost)
    with release(SecondParcel):
        monkeypatch.setitem(MIGRATIONS, FIRST, replace(MIGRATION, change=forgetful))
        assert journals.continue_from_each(journal) != []


def test_a_machine_at_rest_in_a_renamed_state_allows_what_the_state_does_now() -> None:
    with release(FirstParcel):
        journal = journals.record("parcel", "lost", "case:c1", parcel_lost)
        old = Snapshot.from_json(journal["steps"][0]["snapshot"])
    with release(SecondParcel):
        assert "loaded" in allowed_from(old, "handler")
        assert allowed(old, "viewer") == ["recall"]


def test_a_chart_that_drops_an_event_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with release(FirstParcel):
        journal = journals.record("parcel", "recalled", "case:c1", parcel_recalled)
    events = tuple(event for event in SecondParcel.event_types if event is not Recall)
    without = type("Without", (SecondParcel,), {"event_types": events})
    with release(without):
        monkeypatch.setitem(MIGRATIONS, FIRST, replace(MIGRATION, to=chart_hash(without)))
        undeclared = journals.continue_from_each(journal)
        declared = journals.continue_from_each(journal, dropped={"recall"})
    assert any("recall is event.unknown, not accepted" in fault for fault in undeclared)
    # What followed the dropped event goes otherwise, too.
    assert {fault.partition(": ")[2] for fault in declared} == {"stamped is accepted, not result.stale"}


def test_a_recorded_version_is_not_overwritten(tmp_path: Path) -> None:
    folders = {"definitions_in": tmp_path / "definitions", "journals_in": tmp_path / "journals"}
    written = record("case", **folders)
    before = {path: path.read_bytes() for path in written}
    with pytest.raises(AlreadyRecorded, match="a released definition stays as it was"):
        record("case", **folders)
    assert {path: path.read_bytes() for path in record("case", again=True, **folders)} == before
    there = {path: path.read_bytes() for path in (definitions.FOLDER / "case-v2.json",)}
    assert [path.read_bytes() for path in written[:1]] == list(there.values())


def test_the_record_tells_states_transitions_and_what_they_do() -> None:
    """It reads what the library keeps; a rename there must not pass as an empty record."""
    states = definitions.definition(CHARTS["query"])["states"]
    assert states["retrieving"]["is"] == ["parallel"]
    assert states["by_words"]["parent"] == "words"
    assert "request" in states["by_words"]["actions"]
    (found,) = (t for t in states["by_words"]["transitions"] if t["event"] == "leg_found")
    assert found["to"] == ["words_found"]
    assert {"is_of_leg", "note_leg"} <= set(found["guards and actions"])
