"""Steps of no chart's, for what a store does with any."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from machines.notification import DeliverToast
from machines.snapshot import Snapshot
from machines.step import Step
from storage.machine_store import new_machine_id
from storage.redis_client import cluster_of

SHARDS = 4
TOPIC = "case:c1"
TOAST = DeliverToast("u1", "title", "body", "info")


def made(topic: str = TOPIC, kind: str = "case", **changes: Any) -> Step:
    """A first step, not of any chart's."""
    values: dict[str, Any] = {
        "id": new_machine_id(kind, topic, SHARDS),
        "kind": kind,
        "chart_version": 1,
        "chart_hash": "h",
        "topic": topic,
        "revision": 1,
        "configuration": ["open"],
        "context": {"title": "A"},
        "updated_at": 100.0,
    }
    snapshot = Snapshot(**values | changes)
    return Step(snapshot=snapshot, changed=snapshot.context)


def then(last: Step, event: str = "rename", **changes: Any) -> Step:
    """The step after another; keywords of `Step` and of its snapshot."""
    of_step = {k: changes.pop(k) for k in ("effects", "timers", "settled", "changed") if k in changes}
    before = last.snapshot
    values = before.to_json() | {"revision": before.revision + 1, "updated_at": before.updated_at + 1}
    return Step(
        snapshot=Snapshot.from_json(values | changes), before=before.configuration, event=event, **of_step
    )


async def everything(redis: Redis) -> dict[bytes, bytes | None]:
    found: dict[bytes, bytes | None] = {}
    async for key in redis.scan_iter():
        found[key] = await redis.dump(key)
    return found


async def cut_listeners(redis: Redis) -> None:
    """End every connection that hears topics."""
    cluster = cluster_of(redis)
    if cluster is None:
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        return
    for node in cluster.get_primaries():
        await cluster.execute_command("CLIENT KILL", "TYPE", "pubsub", target_nodes=node)


def with_effect(queue_of: str = "awaited") -> tuple[Step, Step, str]:
    first = made()
    effect = f"{first.snapshot.id}:2:0"
    awaiting = {effect: "open"} if queue_of == "awaited" else {}
    return first, then(first, effects={effect: TOAST}, awaiting=awaiting), effect
