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
    assert caught.value.allowed == ("remove", "reopen")


def test_what_is_allowed_depends_on_the_role() -> None:
    snapshot = opened().last.snapshot
    assert allowed(snapshot, "viewer") == []
    assert allowed(snapshot, "editor") == ["hold", "rename"]
    assert allowed(snapshot, "owner") == ["close", "hold", "remove", "rename"]
    assert allowed(snapshot, None) == []


def test_changes_around_the_case_are_counted_by_part() -> None:
    walk = opened().send("changed", part="pois").send("changed", part="pois").send("changed", part="members")
    assert walk.context["versions"] == {"pois": 2, "members": 1}


def test_a_removed_case_waits_a_week_and_comes_back_as_it_was() -> None:
    for state, events in [("open", []), ("pending", ["hold"]), ("closed", ["close"])]:
        walk = opened()
        for event in events:
            walk.send(event, source="client")
        walk.send("remove", source="client", reason="opened twice")
        assert walk.configuration == {"leaving"}
        assert [(e.name, e.args()) for e in walk.last.effects.values()] == [
            ("HideCase", {"case": "c1", "hidden": True})
        ]
        assert walk.context["grace_until"] == walk.at + 7 * 86_400
        walk.send("restore", source="client")
        assert walk.configuration == {state}
        assert [e.args() for e in walk.last.effects.values()] == [{"case": "c1", "hidden": False}]
        assert walk.last.snapshot.timers == {}
        assert (walk.context["why"], walk.context["removed_by"]) == ("", "")


@pytest.mark.parametrize("event", ["remove", "restore", "erase", "retry"])
def test_only_an_owner_deletes_a_case_or_keeps_it(event: str) -> None:
    walk = opened()
    if event != "remove":
        walk.send("remove", source="client")
    with pytest.raises(Forbidden):
        walk.send(event, source="client", role="editor")


def test_a_removed_case_cannot_be_renamed_held_or_closed() -> None:
    walk = opened().send("remove", source="client")
    assert allowed(walk.last.snapshot, "owner") == ["erase", "restore"]


def test_deleting_a_case_looks_again_until_its_files_have_gone_and_keeps_no_title() -> None:
    walk = opened().send("remove", source="client", reason="opened twice").send("grace_over", source="timer")
    for left in (3, 1):
        walk.send("not_yet", effect=walk.effect("EraseCase"), left=left)
        assert (walk.configuration, walk.context["left"]) == ({"draining"}, left)
        walk.send("drain", source="timer")
    walk.send("erased", effect=walk.effect("EraseCase"))
    assert walk.configuration == {"deleted"}
    assert walk.last.snapshot.terminated
    assert (walk.context["title"], walk.context["why"]) == ("", "opened twice")


def test_a_deletion_of_a_case_that_broke_can_be_taken_up_again() -> None:
    walk = opened().send("remove", source="client").send("erase", source="client", actor="bob")
    assert walk.last.effects[walk.effect("EraseCase")].args() == {"case": "c1", "actor": "bob", "reason": ""}
    walk.send("broke", effect=walk.effect("EraseCase"), stage="erasing", reason="the graph is away")
    assert walk.configuration == {"stranded"}
    assert allowed(walk.last.snapshot, "owner") == ["retry"]
    walk.send("retry", source="client")
    assert walk.configuration == {"erasing"}
