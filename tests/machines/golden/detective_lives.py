"""Realistic lives of searches by Detective mode."""

from __future__ import annotations

from typing import Any

from tests.machines.golden.journals import Life

FINDING, OTHER = "0f" * 16, "a7" * 16


def _asked(life: Life, **data: Any) -> None:
    life.begin(source="client", role="owner", **data)


def _presented(life: Life) -> None:
    life.done("TraverseCases", "traversed", nodes=400, edges=2100, paths=18)
    life.done("MatchMeaning", "matched", pairs=3, uncompared=1)
    life.done("RankFindings", "weighed", ranked=2)
    kinds = {"connected": 1, "near": 1}
    life.done("ExplainFindings", "explained", fingerprints=[FINDING, OTHER], kinds=kinds)


def detective_presented(life: Life) -> None:
    _asked(life)
    life.client("judge", finding=FINDING, value=1)
    _presented(life)
    life.client("judge", finding=FINDING, value=1)
    life.client("judge", finding=OTHER, value=-1)
    life.client("judge", finding=OTHER, value=0)
    life.client("judge", finding="00" * 16, value=1)
    life.client("judge", finding="no fingerprint", value=1)
    life.client("cancel")
    life.client("discard")
    life.client("renew")


def detective_renewed(life: Life) -> None:
    _asked(life, cases=["harbour", "copper"], about=[7, 9], limit=5)
    _presented(life)
    life.client("judge", finding=OTHER, value=-1)
    life.client("renew")
    life.client("cancel")
    life.client("renew")
    life.done("TraverseCases", "traversed", nodes=401, edges=2100, paths=1)
    life.done("MatchMeaning", "matched", pairs=0, uncompared=0)
    life.done("RankFindings", "weighed", ranked=1)
    life.done("ExplainFindings", "explained", fingerprints=[FINDING], kinds={"connected": 1})


def detective_breaks(life: Life) -> None:
    _asked(life, cases=["harbour"])
    life.start("TraverseCases")
    life.broke("TraverseCases", "the database does not answer", temporary=True)
    life.timer("again", stage="traversing")
    life.start("TraverseCases")
    life.timer("deadline", stage="traversing")
    life.timer("again", stage="traversing")
    life.broke("TraverseCases", "you are no member of any of these cases any more")
    life.client("judge", finding=FINDING, value=1)
    life.client("retry")
    life.done("TraverseCases", "traversed", nodes=4, edges=3, paths=0)
    life.broke("MatchMeaning", "no")
    life.client("discard")


def detective_cancelled(life: Life) -> None:
    _asked(life, about=[7])
    life.start("TraverseCases")
    life.client("cancel")
    life.result("TraverseCases", "traversed", nodes=4, edges=3, paths=0)
    life.client("retry")


LIVES = (
    detective_presented,
    detective_renewed,
    detective_breaks,
    detective_cancelled,
)
