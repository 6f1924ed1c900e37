"""The form in which machines, entries, effects and timers lie in Redis."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from machines.behalf import behalf_of
from machines.effect import Effect
from machines.snapshot import Snapshot
from machines.step import Step
from storage import trace
from storage.batches_redis import Part
from storage.deflating import deflated, inflated

_WORTH_BYTES, _WORTH_BYTES_ENDED = 1024, 512
"""A machine that takes more than this is deflated; that takes sixty microseconds or more, once at its end."""

_INLINE_BYTES = 36
"""A longer configuration is kept once a shard instead of with every event id.

So every field stays below 64 bytes, up to which Redis keeps a small hash in one compact block.
"""


def packed_machine(after: Snapshot) -> bytes:
    """`<revision> <JSON>`, or `<revision> y<JSON deflated>`."""
    json = orjson.dumps(after)
    if len(json) > (_WORTH_BYTES_ENDED if after.terminated else _WORTH_BYTES):
        return b"%d y%b" % (after.revision, deflated(json))
    return b"%d %b" % (after.revision, json)


def machine_in(packed: bytes) -> Snapshot:
    """The inverse of `packed_machine`; earlier releases deflated without a dictionary, as `z`."""
    at = packed.index(b" ") + 1
    match packed[at : at + 1]:
        case b"y":
            json = inflated(packed[at + 1 :])
        case b"z":
            json = zlib.decompress(packed[at + 1 :])
        case _:
            json = packed[at:]
    return Snapshot.from_json(orjson.loads(json))


def digest_of(event_id: str) -> bytes:
    """Twelve bytes for an event id of any length; nobody can find another with the same."""
    return blake2b(event_id.encode(), digest_size=12).digest()


@dataclass(frozen=True, slots=True)
class PackedConfiguration:
    """A configuration as an event id remembers it: as it is, or `*` and the name it is `kept` under."""

    remembered: bytes
    kept: bytes


def packed_configuration(configuration: list[str]) -> PackedConfiguration:
    """A configuration to remember."""
    json = orjson.dumps(configuration)
    if len(json) <= _INLINE_BYTES:
        return PackedConfiguration(json, b"")
    return PackedConfiguration(b"*" + blake2b(json, digest_size=6).digest(), json)


def packed_entry(step: Step, actor: str, *, gone: bool = False) -> bytes:
    """The entry without epoch and offset, which the script puts in front."""
    after = step.snapshot
    return orjson.dumps(
        {
            "type": "entry",
            "topic": after.topic,
            "machine": after.id,
            "kind": after.kind,
            "revision": after.revision,
            "event": step.event,
            "from": step.before,
            "to": after.configuration,
            "context": step.changed,
            "removed": step.removed,
            "terminated": after.terminated,
            "gone": gone,
            "at": after.updated_at,
            "actor": actor,
            **_trace(),
        }
    )


def packed_effects(step: Step) -> list[Part]:
    """Their number; then id, effect, `1` if awaited."""
    packed: list[Part] = [len(step.effects)]
    for effect_id, effect in step.effects.items():
        awaited = effect_id in step.snapshot.awaiting
        packed += [effect_id, _effect(effect, step.snapshot), "1" if awaited else "0"]
    return packed


def _effect(effect: Effect, after: Snapshot) -> bytes:
    return orjson.dumps(
        {
            "name": effect.name,
            "args": effect.args(),
            "queue": effect.queue,
            "machine": after.id,
            "topic": after.topic,
            "behalf": behalf_of(after),
            "since": after.updated_at,
            **_trace(),
        }
    )


def _trace() -> dict[str, str]:
    now = trace.current.get()
    return {"trace": now} if now else {}


def timer_member(machine: str, key: str) -> str:
    """How a timer is called in a shard."""
    return f"{machine}|{key}"


def packed_timers(step: Step) -> list[Part]:
    """Their number; then member, due or nothing, event. The last word on each timer.

    Setting one twice in a step leaves the second.
    """
    packed: list[Part] = [len(step.timers)]
    for timer in step.timers:
        member = timer_member(step.snapshot.id, timer.key)
        if timer.after_s is None:
            packed += [member, "", ""]
        else:
            event = orjson.dumps({"event": timer.event, "data": timer.data or {}})
            packed += [member, step.snapshot.updated_at + timer.after_s, event]
    return packed


def timer_in(packed: bytes) -> dict[str, Any]:
    """`event` and `data` of a timer."""
    found: dict[str, Any] = orjson.loads(packed)
    return found
