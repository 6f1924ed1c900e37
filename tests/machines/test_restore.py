"""A machine restored before every event goes the same way by table, by the library, and unbroken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statemachine.exceptions import TransitionNotAllowed

from machines.chart import Chart, events_of
from machines.errors import NotAllowed, Stale
from machines.event import Event, Result
from machines.snapshot import Snapshot
from machines.step import CHARTS, Incoming, Step, allowed_from, spawn, step
from machines.work import Started
from tests.machines import oracle

numbers = st.integers(0, 9)
sentences = st.sampled_from(["", "no", "too large"])
orders = st.lists(st.fixed_dictionaries({"node": numbers, "score": st.floats(0, 1)}), max_size=3)
hits = st.lists(
    st.builds(
        lambda node: {
            "node": node,
            "evidence": 1,
            "title": "A",
            "place": {"page": 1, "start": 0, "end": 4, "boxes": [[0.0, 0.5, 1.0, 1.5]]},
            "snippet": "text",
            "legs": {"words": 0.25},
        },
        numbers,
    ),
    max_size=2,
)
votes = st.dictionaries(numbers.map(str), st.integers(-1, 1), max_size=2)

tallies = st.fixed_dictionaries(
    {}, optional={name: st.integers(0, 2) for name in ("waiting", "queued", "working", "ready", "failed")}
)

FINGERPRINT = "0f" * 16

SPAWNED = {
    "case": ("case:c1", {"title": "A"}),
    "detective": ("user:u1", {}),
    "import": ("case:c1", {"title": "A"}),
    "notification": ("user:u1", {"title": "A"}),
    "poi_search": ("case:c1", {"poi": 4, "called": "Ada Example"}),
    "query": ("case:c1", {"question": "Who?", "conversation": "query-0-earlier", "extended": True}),
    "upload": ("case:c1", {"filename": "a.pdf", "bytes": 3}),
}

PAYLOADS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "again": {},
    "articles_embedded": {
        "found": st.lists(
            st.builds(lambda node: {"node": node, "meaning": 0.5, "words": 1.0}, numbers), max_size=2
        )
    },
    "assembled": {"sha256": st.just("ab"), "bytes": numbers},
    "broke": {"reason": sentences, "temporary": st.booleans()},
    "cancel": {},
    "changed": {"part": st.sampled_from(["members", "pois"])},
    "close": {},
    "confirm": {},
    "decline": {},
    "composed": {"answer": st.just({"mode": "extractive", "supported": True, "text": "A."})},
    "counted": {"version": numbers, "tally": tallies, "bytes": numbers},
    "deadline": {},
    "embedded": {"chunks": numbers},
    "explained": {"fingerprints": st.just([FINGERPRINT]), "kinds": st.just({"near": 1})},
    "extracted": {"pages": numbers, "characters": numbers, "chunks": numbers},
    "discard": {},
    "drain": {},
    "erase": {},
    "erased": {},
    "fetched": {"sources": st.just([]), "passages": numbers},
    "forgotten": {},
    "gathered": {"parts": st.just("disk:1"), "bytes": numbers},
    "grace_over": {},
    "hold": {},
    "indexed": {"chunks": numbers},
    "interrupted": {"reason": sentences, "received": numbers},
    "judge": {"finding": st.just(FINGERPRINT), "value": st.integers(-1, 1)},
    "leg_found": {"found": orders},
    "linked": {"entities": numbers, "mentions": numbers},
    "listed": {},
    "mark_read": {},
    "matched": {"pairs": numbers, "uncompared": numbers},
    "mismatched": {"reason": sentences},
    "needs_password": {"reason": sentences},
    "not_yet": {"left": numbers},
    "pause": {},
    "proceed": {},
    "ranked": {"hits": hits, "order": orders, "as_of": numbers, "nodes": numbers, "edges": numbers},
    "received": {"sha256": st.just("ab"), "bytes": numbers},
    "receiving_on": {"received": numbers},
    "recognised": {"evidence": numbers, "title": sentences},
    "redacted": {"evidence": st.integers(0, 2), "retold": st.lists(numbers, max_size=2)},
    "refused": {"reason": sentences},
    "remove": {"reason": sentences},
    "rename": {"title": st.sampled_from(["B", "C"])},
    "renamed": {"called": st.sampled_from(["Ada Example", "Ada Sample"])},
    "renew": {},
    "reopen": {},
    "reranked": {"order": orders, "hits": hits, "as_of": numbers, "votes": votes},
    "restore": {},
    "resolved": {
        "understood": st.sampled_from([None, {"text": "Who is Ann?", "way": "rules", "evidence": [1]}])
    },
    "resume": {},
    "resumed": {"received": numbers},
    "retry": {},
    "retry_failed": {"file": numbers},
    "searched": {
        "mentions": numbers,
        "slips": numbers,
        "evidence": numbers,
        "added": numbers,
        "removed": numbers,
        "places": st.just([]),
    },
    "seen": {},
    "silent": {},
    "sized": {"chunks": numbers, "seconds": st.just(0.5), "large": st.booleans()},
    "started": {},
    "summarised": {"sentences": numbers},
    "swept": {},
    "tagged": {"tags": st.lists(sentences, max_size=2)},
    "traversed": {"nodes": numbers, "edges": numbers, "paths": numbers},
    "unlock": {"secret": st.just("0123456789")},
    "unsupported": {"reason": sentences, "media_type": st.sampled_from(["", "image/png"])},
    "verified": {"evidence": numbers, "media_type": st.just("text/plain"), "title": sentences},
    "vote": {"node": numbers, "value": st.integers(-1, 1)},
    "weighed": {"ranked": numbers},
    "went_out": {"pages": numbers},
    "withheld": {"evidence": st.integers(0, 2), "hidden": st.booleans()},
}


class Uninterrupted:
    """One instance of a chart for a machine's whole life."""

    def __init__(self, kind: str, first: Step, incoming: Incoming) -> None:
        self.chart = CHARTS[kind]
        self.snapshot = first.snapshot
        self.instance: Chart = oracle.library_instance(
            self.chart,
            None,
            context=self.chart.context_type(),
            machine=first.snapshot.id,
            topic=first.snapshot.topic,
            at=incoming.at,
            actor=incoming.actor,
            awaiting={},
            timers={},
            history={},
            data=self.chart.spawn_event.model_validate(incoming.data),
        )
        self._rest(None, incoming)

    def send(self, incoming: Incoming) -> Step:
        data: Event = events_of(self.chart)[incoming.name].model_validate(incoming.data)
        if isinstance(data, (Result, Started)) and data.effect not in self.instance.awaiting:
            raise Stale("stale")
        if self.snapshot.terminated:
            raise NotAllowed("ended")
        self.instance.at, self.instance.actor = incoming.at, incoming.actor
        try:
            self.instance.send(incoming.name, data=data)
        except TransitionNotAllowed:
            raise NotAllowed("not allowed") from None
        if isinstance(data, Result):
            self.instance.awaiting.pop(data.effect, None)
        return self._rest(self.snapshot, incoming)

    def _rest(self, before: Snapshot | None, incoming: Incoming) -> Step:
        """What the step did; the instance itself goes on as it is."""
        done = oracle.result(self.instance, before, incoming)
        self.snapshot = done.snapshot
        self.instance.awaiting = dict(done.snapshot.awaiting)
        self.instance.emitted, self.instance.timers = [], []
        return done


@st.composite
def incomings(draw: st.DrawFn, snapshot: Snapshot, at: float) -> Incoming:
    """An event of the chart, mostly one that the state allows and about what the machine awaits."""
    events = events_of(CHARTS[snapshot.kind])
    possible = sorted(
        {name for source in ("client", "handler", "timer") for name in allowed_from(snapshot, source)}
    )
    if not possible or draw(st.integers(0, 9)) == 0:
        possible = sorted(events)
    event = events[draw(st.sampled_from(possible))]
    # Charts may call different events by the same name.
    fields = {name: values for name, values in PAYLOADS[event.name].items() if name in event.model_fields}
    data = {name: draw(values) for name, values in fields.items()}
    awaiting = sorted(snapshot.awaiting.items()) or [("none", "none")]
    effect, stage = draw(st.sampled_from(awaiting))
    if "effect" in event.model_fields:
        data["effect"] = effect
    if "stage" in event.model_fields:
        work = sorted(snapshot.context.get("work", {})) or ["none"]
        data["stage"] = stage if "effect" in event.model_fields else draw(st.sampled_from(work))
    return Incoming(event.name, data, event.source, at, draw(st.sampled_from(["u1", "u2"])), "owner")


def outcome(send: Any) -> Step | type[Exception]:
    try:
        done: Step = send()
    except (NotAllowed, Stale) as error:
        return type(error)
    return done


def unchanged(kind: str, data: st.DataObject) -> None:
    """A life of the machine, led in four ways."""
    topic, payload = SPAWNED[kind]
    incoming = Incoming("spawn", payload, "handler", 1000.0, "u1")
    last = spawn(kind, f"{kind}-0-ab", topic, incoming)
    chart = CHARTS[kind]
    whole = Uninterrupted(kind, last, incoming)
    assert whole.snapshot == last.snapshot
    assert oracle.spawn(chart, f"{kind}-0-ab", topic, incoming) == last
    for number in range(data.draw(st.integers(1, 25), label="events")):
        incoming = data.draw(incomings(last.snapshot, 1001.0 + number), label="event")
        # Through JSON, as the store does it.
        rested = Snapshot.from_json(json.loads(json.dumps(last.snapshot.to_json())))
        assert rested == last.snapshot
        restored = outcome(lambda rested=rested, incoming=incoming: step(rested, incoming))
        unbroken = outcome(lambda incoming=incoming: whole.send(incoming))
        assert restored == unbroken
        assert rested == last.snapshot
        by_library = outcome(lambda rested=rested, incoming=incoming: oracle.step(chart, rested, incoming))
        assert restored == by_library
        pooled = outcome(
            lambda rested=rested, incoming=incoming: oracle.step(chart, rested, incoming, way="pooled")
        )
        assert restored == pooled
        if isinstance(restored, Step):
            last = restored


@pytest.mark.parametrize("kind", sorted(CHARTS))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_restoring_before_every_event_changes_nothing(kind: str, data: st.DataObject) -> None:
    unchanged(kind, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(CHARTS))
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_restoring_changes_nothing_in_many_lives(kind: str, data: st.DataObject) -> None:
    unchanged(kind, data)


def test_every_event_of_every_chart_is_tried() -> None:
    assert {name for chart in CHARTS.values() for name in events_of(chart)} == set(PAYLOADS)
    assert set(SPAWNED) == set(CHARTS)
