"""Journals: lives of machines, event by event, with what each did; recorded once, replayed for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from machines.effect import Effect
from machines.errors import StepError
from machines.event import Role, Source
from machines.releases import brought_up
from machines.snapshot import Snapshot
from machines.step import Incoming, Step, chart_of, check_configuration, hash_of, spawn, step

FOLDER = Path(__file__).parent / "journals"

Journal = dict[str, Any]


class Life:
    """One machine that is led through its life, every event noted with its outcome."""

    def __init__(self, kind: str, topic: str) -> None:
        self.kind = kind
        self.topic = topic
        self.machine = f"{kind}-0-golden"
        self.steps: list[dict[str, Any]] = []
        self._at = 1_790_000_000.0
        self._last: Step | None = None
        self._effects: dict[str, Effect] = {}

    def begin(
        self, *, source: Source = "handler", actor: str = "ann", role: Role | None = None, **data: Any
    ) -> None:
        """Spawn it."""
        self._take(Incoming("spawn", data, source, self._at, actor, role))

    def client(self, event: str, *, actor: str = "ann", role: Role = "owner", **data: Any) -> None:
        """An event of a person."""
        self._next(Incoming(event, data, "client", self._at, actor, role))

    def handler(self, event: str, **data: Any) -> None:
        """An event of the server's own that answers no effect."""
        self._next(Incoming(event, data, "handler", self._at))

    def timer(self, event: str, **data: Any) -> None:
        """A timer falls due."""
        self._next(Incoming(event, data, "timer", self._at))

    def start(self, effect: str) -> None:
        """A worker takes up the latest effect of that name."""
        self.handler("started", effect=self.id_of(effect), stage=self._stage(effect))

    def result(self, effect: str, event: str, **data: Any) -> None:
        """The answer to the latest effect of that name."""
        self.handler(event, effect=self.id_of(effect), **data)

    def broke(self, effect: str, reason: str, *, temporary: bool = False) -> None:
        """The latest effect of that name failed."""
        stage = self._stage(effect)
        self.handler("broke", effect=self.id_of(effect), stage=stage, reason=reason, temporary=temporary)

    def done(self, effect: str, event: str, **data: Any) -> None:
        """Taken up and answered."""
        self.start(effect)
        self.result(effect, event, **data)

    def id_of(self, effect: str) -> str:
        """Id of the latest effect of that name."""
        return [key for key, each in self._effects.items() if each.name == effect][-1]

    def _stage(self, effect: str) -> str:
        assert self._last is not None
        return self._last.snapshot.awaiting.get(self.id_of(effect), "gone")

    def _next(self, incoming: Incoming) -> None:
        self._at += 1.0
        self._take(
            Incoming(incoming.name, incoming.data, incoming.source, self._at, incoming.actor, incoming.role)
        )

    def _take(self, incoming: Incoming) -> None:
        noted, done = outcome_of(
            None if self._last is None else self._last.snapshot, incoming, self.machine, self.topic
        )
        self.steps.append({"event": incoming._asdict(), **noted})
        if done is not None:
            self._last = done
            self._effects.update(done.effects)


def outcome_of(
    before: Snapshot | None, incoming: Incoming, machine: str, topic: str
) -> tuple[dict[str, Any], Step | None]:
    """What an event does, as JSON values; the step where it was not refused."""
    try:
        if before is None:
            done = spawn(machine.partition("-")[0], machine, topic, incoming)
        else:
            done = step(before, incoming)
    except StepError as error:
        return {"refused": error.code, "allowed": list(error.allowed)}, None
    return {
        "snapshot": done.snapshot.to_json(),
        "effects": {
            key: {"name": effect.name, "queue": effect.queue, "args": effect.args()}
            for key, effect in done.effects.items()
        },
        "timers": [asdict(timer) for timer in done.timers],
        "settled": done.settled,
        "changed": sorted(done.changed),
        "removed": done.removed,
    }, done


def record(kind: str, name: str, topic: str, live: Callable[[Life], None]) -> Journal:
    """Live a life and note it."""
    life = Life(kind, topic)
    live(life)
    chart = chart_of(kind)
    return {
        "kind": kind,
        "version": chart.version,
        "hash": hash_of(kind),
        "name": name,
        "topic": topic,
        "machine": life.machine,
        "steps": _as_json(life.steps),
    }


def path_of(kind: str, version: int, name: str, folder: Path = FOLDER) -> Path:
    """Where a journal is kept."""
    return folder / f"{kind}-v{version}" / f"{name}.json"


def recorded(folder: Path = FOLDER) -> list[Journal]:
    """Every journal."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]


def replay(journal: Journal) -> list[str]:
    """Replay under the same version: where it goes another way now, a sentence each."""
    before: Snapshot | None = None
    for number, noted in enumerate(journal["steps"]):
        told, done = outcome_of(before, _incoming(noted), journal["machine"], journal["topic"])
        expected = {key: value for key, value in noted.items() if key != "event"}
        now = _as_json(told)
        if now != expected:
            differing = sorted(key for key in now.keys() | expected if now.get(key) != expected.get(key))
            return [
                f"{journal['kind']} “{journal['name']}”: event {number} ({noted['event']['name']}) has "
                f"another outcome than when it was recorded, in {', '.join(differing)}: the body of an "
                "action or a guard has changed, so raise `version` and record anew"
            ]
        if done is not None:
            # Through JSON, as the store does it.
            before = Snapshot.from_json(_as_json(done.snapshot.to_json()))
    return []


def continue_from_each(
    journal: Journal, dropped: Iterable[str] = (), gained: Iterable[str] = ()
) -> list[str]:
    """Bring each snapshot of an older version up, and send what followed: what fails, a sentence each.

    Args:
        dropped: Names of events that the later version no longer takes, by declaration.
        gained: Names of events that it takes where the recorded one refused them; such a life goes
            another way from there, and is not followed.
    """
    faults: list[str] = []
    for number, noted in enumerate(journal["steps"]):
        if "snapshot" not in noted:
            continue
        kind = journal["kind"]
        try:
            now = brought_up(Snapshot.from_json(noted["snapshot"]), hash_of(kind))
            check_configuration(now)
            chart_of(kind).context_type.model_validate(now.context)
            if strangers := {*now.awaiting.values(), *now.timers.values()} - {*now.configuration, ""}:
                raise ValueError(f"work or timers belong to {sorted(strangers)}, where the machine is not")
            faults += _continue(journal, number, now, frozenset(dropped), frozenset(gained))
        except Exception as error:  # noqa: BLE001 - whatever a migration raises is its fault
            faults.append(f"{kind} “{journal['name']}” cannot go on from event {number}: {error!r}")
    return faults


def _continue(
    journal: Journal, number: int, now: Snapshot, dropped: frozenset[str], gained: frozenset[str]
) -> list[str]:
    names = {
        key: effect["name"] for noted in journal["steps"] for key, effect in noted.get("effects", {}).items()
    }
    emitted = {key: names[key] for key in now.awaiting if key in names}
    for noted in journal["steps"][number + 1 :]:
        incoming = _answering(_incoming(noted), names, emitted, now)
        told, done = outcome_of(now, incoming, journal["machine"], journal["topic"])
        expected = noted.get("refused") or ("event.unknown" if incoming.name in dropped else None)
        if incoming.name in gained and expected == "event.not_allowed" and "refused" not in told:
            return []
        if told.get("refused") != expected:
            return [
                f"{journal['kind']} “{journal['name']}”, brought up after event {number}: "
                f"{incoming.name} is {told.get('refused', 'accepted')}, not {expected or 'accepted'}"
            ]
        if done is not None:
            now = done.snapshot
            emitted |= {key: effect.name for key, effect in done.effects.items()}
    return []


def _answering(incoming: Incoming, names: dict[str, str], emitted: dict[str, str], now: Snapshot) -> Incoming:
    """The event about the effect that the later version has asked for in place of the recorded one."""
    answered = incoming.data.get("effect")
    if answered is None or answered in now.awaiting:
        return incoming
    same = [key for key, name in emitted.items() if key in now.awaiting and name == names.get(answered)]
    if not same:
        return incoming
    data = dict(incoming.data) | {"effect": same[-1]}
    if "stage" in data:
        data["stage"] = now.awaiting[same[-1]]
    return Incoming(incoming.name, data, incoming.source, incoming.at, incoming.actor, incoming.role)


def _incoming(noted: dict[str, Any]) -> Incoming:
    return Incoming(**noted["event"])


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
