"""The case chart: states and who may change them."""

import pytest

from machines.errors import Forbidden, NotAllowed
from machines.step import allowed
from tests.machines.walk import Walk


def opened() -> Walk:
    return Walk("case", actor="founder", title="The matter")


def test_a_case_opens_waits_closes_and_reopens() -> None:
    walk = opened()
    for event, state in [("hold", "pending"), ("proceed", "open"), ("close", "closed"), ("reopen", "open")]:
        assert walk.send(event, source="client").configuration == {state}
    assert walk.context["title"] == "The matter"
    assert walk.context["owner"] == "founder"


def test_only_an_owner_closes() -> None:
    with pytest.raises(Forbidden):
        opened().send("close", source="client", role="editor")


def test_a_closed_case_keeps_its_title() -> None:
    with pytest.raises(NotAllowed) as caught:
        opened().send("close", source="client").send("rename", source="client", title="Another")
    assert caught.value.allowed == ("reopen",)


def test_what_is_allowed_depends_on_the_role() -> None:
    snapshot = opened().last.snapshot
    assert allowed(snapshot, "viewer") == []
    assert allowed(snapshot, "editor") == ["hold", "rename"]
    assert allowed(snapshot, "owner") == ["close", "hold", "rename"]
    assert allowed(snapshot, None) == []


def test_changes_around_the_case_are_counted_by_part() -> None:
    walk = opened().send("changed", part="pois").send("changed", part="pois").send("changed", part="members")
    assert walk.context["versions"] == {"pois": 2, "members": 1}


def test_a_changed_person_of_interest_is_looked_for_in_the_evidence() -> None:
    walk = opened().send("changed", part="pois", poi=12)
    assert [(e.name, e.args()) for e in walk.last.effects.values()] == [
        ("RelinkPoi", {"case": "c1", "poi": 12})
    ]
    assert walk.last.snapshot.awaiting == {}
