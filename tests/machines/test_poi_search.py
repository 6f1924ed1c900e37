"""The search for a person of interest: asked first where it is long, stopped, superseded, told of."""

from __future__ import annotations

from typing import Any

import pytest

from machines.errors import Forbidden, NotAllowed, Stale
from machines.step import allowed
from tests.machines.walk import Walk

PLACE = {
    "evidence": 7, "title": "The report", "mentions": 2, "slips": 1, "node": 9, "page": 2, "start": 40,
    "end": 51, "snippet": "so Ada Example said", "marked": (3, 14),
}  # fmt: skip


def entered() -> Walk:
    return Walk("poi_search", poi=4, called="Ada Example", aliases=["A. Example"])


def sized(walk: Walk, chunks: int = 900, *, large: bool = False) -> Walk:
    return walk.send("sized", effect=walk.effect("SizePoiSearch"), chunks=chunks, seconds=30.0, large=large)


def searched(walk: Walk, **data: Any) -> Walk:
    counts = {"mentions": 3, "slips": 1, "evidence": 1, "added": 3, "removed": 0, "places": [PLACE]}
    return walk.send("searched", effect=walk.effect("SearchPoi"), **(counts | data))


def toast(walk: Walk) -> dict[str, Any]:
    (effect,) = [one for one in walk.last.effects.values() if one.name == "Notify"]
    return effect.args()


def test_a_small_case_is_searched_without_a_question() -> None:
    walk = sized(entered())
    assert walk.configuration == {"searching"}
    assert walk.effects[walk.effect("SearchPoi")].args() == {"case": "c1", "poi": 4}
    searched(walk)
    assert walk.configuration == {"found"}
    assert walk.context["places"][0]["evidence"] == 7
    told = toast(walk)
    assert (told["title"], told["body"]) == (
        "Ada Example is named 3 times in 1 file",
        "3 new, 1 in another spelling",
    )
    assert (told["topic"], told["evidence"], told["user"]) == ("case:c1", 7, "u1")


def test_a_large_case_is_searched_when_an_editor_wants_it() -> None:
    walk = sized(entered(), 900_000, large=True)
    assert walk.configuration == {"asked"}
    assert toast(walk)["body"] == "the case holds 900,000 passages; it takes about 30 s"
    with pytest.raises(Forbidden):
        walk.send("confirm", source="client", role="viewer")
    assert walk.send("confirm", source="client", role="editor").configuration == {"searching"}


def test_who_declined_may_want_it_later() -> None:
    walk = sized(entered(), 900_000, large=True).send("decline", source="client")
    assert walk.configuration == {"declined"}
    assert "was not searched" in walk.context["reason"]
    assert walk.send("confirm", source="client").configuration == {"searching"}


def test_a_search_can_be_stopped_and_its_result_is_dropped() -> None:
    walk = sized(entered())
    effect = walk.effect("SearchPoi")
    walk.send("cancel", source="client", role="editor")
    assert walk.configuration == {"declined"}
    assert walk.last.snapshot.awaiting == {}
    with pytest.raises(Stale):
        walk.send("searched", effect=effect, mentions=0, slips=0, evidence=0, added=0, removed=0, places=[])


@pytest.mark.parametrize("state", ["sizing", "asked", "searching", "found", "declined", "failed"])
def test_a_newer_name_supersedes_whatever_was_done_for_the_earlier_one(state: str) -> None:
    walk = entered()
    if state not in ("sizing", "failed"):
        sized(walk, large=state in ("asked", "declined"))
    if state == "found":
        searched(walk)
    if state == "declined":
        walk.send("decline", source="client")
    if state == "failed":
        walk.send("broke", effect=walk.effect("SizePoiSearch"), stage="sizing", reason="away")
    assert walk.configuration == {state}
    before = dict(walk.last.snapshot.awaiting)
    walk.send("renamed", called="Ada Example", aliases=["A. Example"])
    assert walk.configuration == {state}
    assert walk.last.snapshot.awaiting == before
    walk.send("renamed", called="Ada Sample", aliases=[], actor="ben")
    assert walk.configuration == {"sizing"}
    assert (walk.context["name"], walk.context["asker"], walk.context["reason"]) == ("Ada Sample", "ben", "")
    assert list(walk.last.snapshot.awaiting) == [walk.effect("SizePoiSearch")]
    assert not set(before) & set(walk.last.snapshot.awaiting)


def test_everybody_sees_what_was_found_once_and_anew_after_the_next_search() -> None:
    walk = searched(sized(entered()))
    for actor in ("ann", "ben", "ann"):
        walk.send("seen", source="client", role="viewer", actor=actor)
    assert walk.context["seen"] == ["ann", "ben"]
    walk.send("renamed", called="Ada Sample", aliases=[])
    with pytest.raises(NotAllowed):
        walk.send("seen", source="client", role="viewer")
    assert searched(sized(walk)).context["seen"] == []


def test_a_place_in_evidence_that_is_gone_goes_with_its_mentions() -> None:
    walk = searched(sized(entered()))
    [place, *others] = walk.context["places"]
    mentions = walk.context["mentions"]
    walk.send("withheld", evidence=place["evidence"], hidden=True)
    assert walk.context["withheld"] == [place["evidence"]]
    assert place in walk.context["places"]
    walk.send("redacted", evidence=place["evidence"])
    assert (walk.context["places"], walk.context["withheld"]) == (others, [])
    assert walk.context["mentions"] == mentions - place["mentions"]


def test_a_search_that_saw_evidence_before_it_was_gone_brings_no_place_in_it() -> None:
    known = searched(sized(entered())).context["places"][0]["evidence"]
    walk = sized(entered()).send("redacted", evidence=known)
    assert known not in [place["evidence"] for place in searched(walk).context["places"]]


@pytest.mark.parametrize(
    ("counts", "title", "body"),
    [
        ({"mentions": 1, "slips": 0, "added": 1}, "Ada Example is named once in 1 file", "1 new"),
        (
            {"mentions": 1200, "slips": 0, "evidence": 30, "added": 0},
            "Ada Example is named 1,200 times in 30 files",
            "",
        ),
        (
            {"mentions": 0, "slips": 0, "evidence": 0, "added": 0, "removed": 4, "places": []},
            "Ada Example is not named in the evidence",
            "4 not any more",
        ),
    ],
)
def test_the_toast_says_what_was_found(counts: dict[str, Any], title: str, body: str) -> None:
    told = toast(searched(sized(entered()), **counts))
    assert (told["title"], told["body"]) == (title, body)


def test_an_empty_case_is_nothing_to_tell_of() -> None:
    walk = sized(entered(), 0)
    searched(walk, mentions=0, slips=0, evidence=0, added=0, places=[])
    assert [effect.name for effect in walk.last.effects.values()] == []


def test_a_search_that_broke_is_told_and_tried_again() -> None:
    walk = sized(entered())
    walk.send("broke", effect=walk.effect("SearchPoi"), stage="searching", reason="the database is away")
    assert walk.configuration == {"failed"}
    assert toast(walk)["body"] == "the database is away"
    assert allowed(walk.last.snapshot, "viewer") == []
    assert walk.send("retry", source="client", role="editor").configuration == {"sizing"}


def test_a_person_who_is_gone_ends_the_search_and_leaves_no_name() -> None:
    walk = searched(sized(entered())).send("swept")
    assert walk.last.snapshot.terminated
    assert (walk.context["name"], walk.context["aliases"], walk.context["places"]) == ("", [], [])
