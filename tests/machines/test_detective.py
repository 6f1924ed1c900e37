"""A search by Detective mode: its stages, a second run beside the first one's findings, verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from machines.errors import BadPayload, Forbidden, NotAllowed
from machines.step import Incoming, allowed, spawn
from tests.machines.walk import Walk

ONE, OTHER = "0f" * 16, "a7" * 16


def asked(**data: Any) -> Walk:
    return Walk("detective", "user:u1", **data)


def presented(walk: Walk, *fingerprints: str) -> Walk:
    walk.send("traversed", effect=walk.effect("TraverseCases"), nodes=4, edges=3, paths=2)
    walk.send("matched", effect=walk.effect("MatchMeaning"), pairs=1, uncompared=0)
    walk.send("weighed", effect=walk.effect("RankFindings"), ranked=len(fingerprints))
    effect = walk.effect("ExplainFindings")
    return walk.send("explained", effect=effect, fingerprints=list(fingerprints), kinds={"near": 1})


def test_the_stages_follow_each_other_until_the_findings_are_there() -> None:
    walk = asked(cases=["c1"], about=[7], limit=5)
    assert walk.configuration == {"traversing"}
    assert walk.effects[walk.effect("TraverseCases")].args() == {
        "search": walk.last.snapshot.id,
        "user": "u1",
        "cases": ["c1"],
        "about": [7],
    }
    presented(walk, ONE)
    assert walk.configuration == {"presented"}
    assert walk.context["fingerprints"] == [ONE]


def test_the_search_is_of_the_topics_user_whoever_sent_it() -> None:
    walk = asked()
    assert walk.context["user"] == "u1"


def test_a_finding_is_judged_only_where_it_was_found() -> None:
    walk = presented(asked(), ONE)
    walk.send("judge", source="client", finding=ONE, value=-1)
    assert walk.context["verdicts"] == {ONE: -1}
    assert walk.effects[walk.effect("RecordVerdict")].args()["value"] == -1
    with pytest.raises(NotAllowed):
        walk.send("judge", source="client", finding=OTHER, value=1)
    with pytest.raises(BadPayload):
        walk.send("judge", source="client", finding="everything", value=1)


def test_stopping_a_second_run_leaves_the_findings_of_the_first() -> None:
    walk = presented(asked(), ONE)
    walk.send("renew", source="client").send("cancel", source="client")
    assert walk.configuration == {"presented"}
    assert walk.context["fingerprints"] == [ONE]


def test_stopping_the_first_run_ends_the_search_and_leaves_nothing() -> None:
    walk = asked().send("cancel", source="client")
    assert walk.configuration == {"cancelled"}
    assert walk.effect("DropFindings")


def test_a_search_that_failed_can_be_tried_again_or_thrown_away() -> None:
    walk = asked()
    effect = walk.effect("TraverseCases")
    walk.send("broke", effect=effect, stage="traversing", reason="you have no case yet")
    assert walk.configuration == {"failed"}
    assert walk.context["reason"] == "you have no case yet"
    assert {"retry", "discard"} <= set(allowed(walk.last.snapshot, "owner"))
    walk.send("discard", source="client")
    assert walk.configuration == {"discarded"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"about": [7, 7]}, "two different ends"),
        ({"about": [1, 2, 3]}, "at most 2"),
        ({"cases": ["c1", "c1"]}, "each case once"),
        ({"cases": ["no such\nid"]}, "pattern"),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"hops": 9}, "hops"),
    ],
)
def test_a_request_that_does_not_fit_is_told_why(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPayload, match=sentence):
        spawn("detective", "detective-0-a", "user:u1", Incoming("spawn", data, "client", 1.0, "u1", "owner"))


def test_a_search_has_no_place_on_a_cases_topic() -> None:
    with pytest.raises(Forbidden, match="user:"):
        spawn("detective", "detective-0-a", "case:c1", Incoming("spawn", {}, "client", 1.0, "u1", "owner"))
