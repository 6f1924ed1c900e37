"""The query chart: legs, order, votes, answer."""

from typing import Any

import pytest

from machines.errors import NotAllowed
from tests.machines.walk import Walk

LEGS = {"meaning": "SearchMeaning", "words": "SearchWords", "links": "SearchLinks"}
ANSWER = {"mode": "extractive", "supported": True, "text": "Yes.", "claims": []}


def hit(node: int) -> dict[str, Any]:
    return {
        "node": node,
        "evidence": 1,
        "title": "Memo",
        "place": {"page": 1, "start": 0, "end": 4},
        "snippet": "text",
    }


def asked() -> Walk:
    return Walk("query", question="Who paid?")


def ranked(as_of: int = 0) -> Walk:
    walk = asked()
    for leg, effect in LEGS.items():
        walk.send(
            "leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=[{"node": 1, "score": 2.0}]
        )
    return walk.send(
        "ranked",
        effect=walk.effect("RankHits"),
        hits=[hit(1), hit(2)],
        order=[{"node": 1, "score": 0.6}, {"node": 2, "score": 0.4}],
        as_of=as_of,
        nodes=2,
        edges=1,
    )


def order(walk: Walk) -> list[int]:
    return [place["node"] for place in walk.context["order"]]


def test_a_question_starts_three_legs_at_once() -> None:
    assert {effect.name for effect in asked().last.effects.values()} == set(LEGS.values())


def test_ranking_begins_when_the_last_leg_has_ended() -> None:
    walk = asked()
    walk.send("leg_found", effect=walk.effect("SearchWords"), stage="by_words", found=[])
    walk.send("leg_found", effect=walk.effect("SearchMeaning"), stage="by_meaning", found=[])
    assert "ranking" not in walk.configuration
    walk.send("leg_found", effect=walk.effect("SearchLinks"), stage="by_links", found=[])
    assert walk.configuration == {"ranking"}


def test_a_broken_leg_does_not_stop_the_question_and_is_told() -> None:
    walk = asked()
    walk.send("broke", effect=walk.effect("SearchMeaning"), stage="by_meaning", reason="no model")
    for leg in ("words", "links"):
        walk.send("leg_found", effect=walk.effect(LEGS[leg]), stage=f"by_{leg}", found=[])
    assert walk.configuration == {"ranking"}
    assert walk.context["work"]["by_meaning"]["reason"] == "no model"


def test_three_broken_legs_fail_the_question_and_it_can_be_asked_again() -> None:
    walk = asked()
    for leg, effect in LEGS.items():
        walk.send("broke", effect=walk.effect(effect), stage=f"by_{leg}", reason="down")
    assert walk.configuration == {"failed"}
    walk.send("retry", source="client")
    assert {"by_meaning", "by_words", "by_links"} <= walk.configuration


def test_the_answer_is_composed_from_the_order() -> None:
    walk = ranked()
    assert walk.last.effects[walk.effect("ComposeAnswer")].args()["nodes"] == [1, 2]
    walk.send("composed", effect=walk.effect("ComposeAnswer"), answer=ANSWER)
    assert walk.configuration == {"answered"}
    assert walk.context["answer"]["text"] == "Yes."


def test_a_vote_is_recorded_by_an_inline_effect_and_can_be_taken_back() -> None:
    walk = ranked().send("vote", source="client", actor="u2", node=2, value=1)
    effect = walk.last.effects[walk.effect("RecordVote")]
    assert (effect.queue, effect.args()["user"], effect.args()["value"]) == ("inline", "u2", 1)
    assert walk.context["mine"] == {"u2": {"2": 1}}
    walk.send("vote", source="client", actor="u2", node=2, value=0)
    assert walk.context["mine"] == {"u2": {}}


def test_a_newer_order_replaces_an_older_one_and_never_the_other_way_round() -> None:
    walk = ranked()
    walk.send(
        "reranked", order=[{"node": 2, "score": 0.6}, {"node": 1, "score": 0.4}], as_of=5, votes={"2": 1}
    )
    assert order(walk) == [2, 1]
    walk.send("reranked", order=[{"node": 1, "score": 0.9}], as_of=4, votes={})
    assert order(walk) == [2, 1]


def test_an_order_that_overtook_the_ranking_stays() -> None:
    walk = asked()
    for leg, effect in LEGS.items():
        walk.send("leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=[])
    walk.send("reranked", order=[{"node": 2, "score": 1.0}], hits=[hit(2)], as_of=9, votes={"2": 1})
    walk.send(
        "ranked",
        effect=walk.effect("RankHits"),
        hits=[hit(1)],
        order=[{"node": 1, "score": 1.0}],
        as_of=8,
        nodes=1,
        edges=0,
    )
    assert order(walk) == [2]
    assert set(walk.context["hits"]) == {"1", "2"}


def test_nobody_votes_before_there_is_an_order() -> None:
    with pytest.raises(NotAllowed):
        asked().send("vote", source="client", node=1, value=1)


def test_nobody_votes_on_what_the_query_has_not_found() -> None:
    walk = ranked()
    before = walk.last.snapshot
    for value in (1, -1, 0):
        with pytest.raises(NotAllowed, match="“vote” is not possible with this data"):
            walk.send("vote", source="client", node=99, value=value)
    assert walk.last.snapshot == before
    assert walk.send("vote", source="client", node=1, value=1).context["mine"] == {"u1": {"1": 1}}


def test_what_a_leg_has_found_can_be_voted_on_before_there_is_an_order() -> None:
    walk = asked()
    for leg, effect in LEGS.items():
        found = [{"node": 5, "score": 2.0}] if leg == "words" else []
        walk.send("leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=found)
    assert walk.configuration == {"ranking"}
    assert walk.send("vote", source="client", node=5, value=1).context["mine"] == {"u1": {"5": 1}}
    with pytest.raises(NotAllowed):
        walk.send("vote", source="client", node=6, value=1)


def test_a_vote_while_answering_does_not_disturb_the_answer() -> None:
    walk = ranked()
    composing = walk.effect("ComposeAnswer")
    walk.send("vote", source="client", node=2, value=-1)
    assert composing in walk.last.snapshot.awaiting
    assert walk.configuration == {"answering"}


def test_evidence_that_is_gone_leaves_a_mark_and_nothing_else() -> None:
    answer = {
        "mode": "extractive",
        "supported": True,
        "text": "Paid.\nApproved.",
        "claims": [
            {"text": "Paid.", "citations": [cited(1, 7)]},
            {"text": "Approved.", "citations": [cited(2, 8)]},
        ],
        "dropped": ["page 3 of “Ledger”"],
    }
    walk = asked()
    for leg, effect in LEGS.items():
        walk.send("leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=[])
    path = [{"source": "Ledger", "kind": "part", "target": "Ann"}]
    hits = [hit(1) | {"evidence": 7}, hit(2) | {"evidence": 8, "path": path}, hit(3) | {"evidence": 8}]
    walk.send("ranked", effect=walk.effect("RankHits"), hits=hits, order=[], as_of=0, nodes=3, edges=1)
    walk.send("composed", effect=walk.effect("ComposeAnswer"), answer=answer)
    walk.send("withheld", evidence=7, hidden=True)
    walk.send("redacted", evidence=7, retold=[2])
    context = walk.context
    assert (context["gone"], context["withheld"]) == ([7], [])
    assert (context["hits"]["1"]["title"], context["hits"]["1"]["snippet"]) == ("deleted evidence", "")
    assert context["hits"]["2"]["path"] == []
    assert context["hits"]["3"]["snippet"] == "text"
    assert context["answer"]["text"] == "Approved."
    assert context["answer"]["dropped"] == []
    assert context["answer"]["claims"][0] == {
        "text": "",
        "citations": [cited(1, 7) | {"title": "deleted evidence", "page": 0, "start": 0, "end": 0}],
    }
    assert "Ledger" not in str(context)


def test_what_was_left_out_of_an_answer_is_told_until_evidence_goes_that_it_may_be_about() -> None:
    left_out = ["a sentence with “950”, which what it cites does not have: “Ann was paid 950.”"]
    answer = {"mode": "generated", "supported": False, "text": "None.", "claims": [], "dropped": left_out}
    walk = asked()
    for leg, effect in LEGS.items():
        walk.send("leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=[])
    walk.send("ranked", effect=walk.effect("RankHits"), hits=[hit(1)], order=[], as_of=0, nodes=1, edges=0)
    walk.send("composed", effect=walk.effect("ComposeAnswer"), answer=answer)
    assert walk.context["answer"]["dropped"] == left_out
    walk.send("redacted", evidence=1)
    assert walk.context["answer"]["dropped"] == []


def test_what_comes_after_evidence_is_gone_holds_nothing_of_it_either() -> None:
    walk = asked().send("redacted", evidence=1)
    for leg, effect in LEGS.items():
        walk.send("leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=[])
    walk.send("ranked", effect=walk.effect("RankHits"), hits=[hit(1)], order=[], as_of=0, nodes=1, edges=0)
    assert walk.context["hits"]["1"]["title"] == "deleted evidence"
    walk.send("reranked", order=[{"node": 4, "score": 1.0}], hits=[hit(4)], as_of=5, votes={})
    assert walk.context["hits"]["4"]["snippet"] == ""
    claims = [{"text": "Paid.", "citations": [cited(1, 1)]}]
    answer = {"mode": "generated", "supported": True, "text": "Paid.", "claims": claims}
    walk.send("composed", effect=walk.effect("ComposeAnswer"), answer=answer)
    assert walk.context["answer"]["text"] == ""


def cited(node: int, evidence: int) -> dict[str, Any]:
    title = "Ledger" if evidence == 7 else "Minutes"
    place = {"node": node, "evidence": evidence, "title": title, "page": 1, "start": 2, "end": 9}
    return place | {"source": "evidence", "url": "", "fetched_at": 0.0}


def follow_up(**data: Any) -> Walk:
    return Walk("query", question="And who paid him?", conversation="query-0-first", **data)


def test_a_follow_up_is_resolved_before_it_is_searched_and_every_leg_gets_what_it_means() -> None:
    walk = follow_up()
    assert walk.configuration == {"resolving"}
    understood = {"text": "Who paid Ann?", "way": "rules", "evidence": [7]}
    walk.send("resolved", effect=walk.effect("ResolveQuestion"), understood=understood)
    assert {e.args()["question"] for e in walk.last.effects.values()} == {"Who paid Ann?"}
    assert walk.context["question"] == "And who paid him?"


def test_what_needs_no_resolving_is_searched_as_it_was_asked() -> None:
    walk = follow_up()
    walk.send("resolved", effect=walk.effect("ResolveQuestion"), understood=None)
    assert {e.args()["question"] for e in walk.last.effects.values()} == {"And who paid him?"}


def test_a_name_from_evidence_that_is_gone_is_not_understood_any_more() -> None:
    understood = {"text": "Who paid Ann?", "way": "rules", "evidence": [7]}
    late, early = follow_up(), follow_up()
    late.send("resolved", effect=late.effect("ResolveQuestion"), understood=understood)
    late.send("redacted", evidence=7)
    early.send("redacted", evidence=7)
    early.send("resolved", effect=early.effect("ResolveQuestion"), understood=understood)
    assert (late.context["understood"], early.context["understood"]) == (None, None)


def test_what_cannot_be_read_outside_does_not_stop_the_question() -> None:
    walk = Walk("query", question="Who paid?", extended=True)
    assert walk.configuration == {"fetching_articles"}
    shut = {"url": "https://shut.example.org/", "ok": False, "reason": "no answer"}
    walk.send("fetched", effect=walk.effect("FetchArticles"), sources=[shut], passages=0)
    assert {"by_meaning", "by_words", "by_links"} <= walk.configuration
    assert walk.context["sources"][0]["reason"] == "no answer"


def test_articles_keep_their_place_when_votes_move_the_evidence_and_cannot_be_voted_on() -> None:
    walk = Walk("query", question="Who paid?", extended=True)
    walk.send("fetched", effect=walk.effect("FetchArticles"), sources=[], passages=2)
    found = [{"node": 9, "meaning": 0.5, "words": 1.0}]
    walk.send("articles_embedded", effect=walk.effect("EmbedArticles"), found=found)
    for leg, effect in LEGS.items():
        walk.send("leg_found", effect=walk.effect(effect), stage=f"by_{leg}", found=[])
    assert walk.last.effects[walk.effect("RankHits")].args()["articles"] == found
    walk.send(
        "ranked",
        effect=walk.effect("RankHits"),
        hits=[hit(1), hit(9) | {"evidence": 0, "source": "article", "url": "https://a.example/"}],
        order=[{"node": 1, "score": 0.6}],
        articles=[{"node": 9, "score": 0.7}],
        as_of=0,
        nodes=1,
        edges=0,
    )
    assert order(walk) == [9, 1]
    with pytest.raises(NotAllowed):
        walk.send("vote", source="client", actor="u2", node=9, value=1)
    walk.send("reranked", order=[{"node": 1, "score": 0.8}], as_of=3, votes={"1": 1})
    assert order(walk) == [1, 9]
