"""What is slow or stuck about a machine, from its snapshot, with a sentence why.

| what | is |
|---|---|
| a stage queued or running longer than 4 × its usual time and 15 s (60 s where nothing is usual) | slow |
| a stage that waits to be tried again | slow |
| a stage queued for more than ten minutes, and slow | stuck |
| a stage running for 30 s that no worker holds | stuck |
| a timer that fell due 10 s ago and has not fired: a deadline, a pause, a silence | stuck |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from machines.phases import live_stages
from server.inspect_models import Trouble
from server.inspect_usual import Usual
from storage.machine_store import DueTimer

OVERDUE_S = 10.0
UNHELD_S = 30.0
STARVED_S = 600.0
_LEAST_S = 15.0
_UNKNOWN_S = 60.0
_TIMES = 4.0


def troubles_of(
    kind: str,
    configuration: Iterable[str],
    context: Mapping[str, Any],
    *,
    now: float,
    usual: Usual,
    held: Collection[str],
    overdue: Iterable[DueTimer],
) -> list[Trouble]:
    """Everything that takes too long, the worst first.

    Args:
        now: Unix seconds.
        held: Effects that a worker holds; those of running stages are looked for among them.
        overdue: The machine's timers that have fallen due.
    """
    found = [
        Trouble(level="stuck", stage=_stage_of(timer), since=timer.due, why=_overdue(timer, now))
        for timer in overdue
        if now - timer.due >= OVERDUE_S
    ]
    for stage, work in live_stages(configuration, context).items():
        trouble = _of_stage(kind, stage, work, now, usual, held)
        if trouble is not None and stage not in {other.stage for other in found}:
            found.append(trouble)
    return sorted(found, key=lambda trouble: (trouble.level != "stuck", trouble.since))


def _of_stage(
    kind: str, stage: str, work: Mapping[str, Any], now: float, usual: Usual, held: Collection[str]
) -> Trouble | None:
    status, since = str(work["status"]), float(work["since"])
    lasts = now - since
    if status == "waiting":
        why = f"{_words(stage)} waits to be tried again after attempt {work.get('attempt', 1)}"
        reason = str(work.get("reason", ""))
        return Trouble(
            level="slow", stage=stage, since=since, why=f"{why}: {reason}" if reason else f"{why}."
        )
    if status == "running" and lasts >= UNHELD_S and work.get("effect") and work["effect"] not in held:
        why = (
            f"{_words(stage)} has been running for {_time(lasts)}, but no worker holds it any more; "
            "lost work is queued again by itself."
        )
        return Trouble(level="stuck", stage=stage, since=since, why=why)
    known = usual.get((kind, stage, status))
    if lasts < (_UNKNOWN_S if known is None else max(_LEAST_S, _TIMES * known)):
        return None
    compared = (
        "there is no time to compare it with yet"
        if known is None
        else f"19 of 20 took less than {_time(known)} lately"
    )
    if status == "queued":
        queue = f"the {work.get('queue')} queue" if work.get("queue") else "its queue"
        why = f"{_words(stage)} has been waiting in {queue} for {_time(lasts)}; {compared}."
        return Trouble(level="stuck" if lasts >= STARVED_S else "slow", stage=stage, since=since, why=why)
    why = f"{_words(stage)} has been running for {_time(lasts)}; {compared}."
    return Trouble(level="slow", stage=stage, since=since, why=why)


def _overdue(timer: DueTimer, now: float) -> str:
    return (
        f"Its timer “{timer.event.replace('_', ' ')}” fell due {_time(now - timer.due)} ago and has not "
        "fired; a running server fires timers within a second."
    )


def _stage_of(timer: DueTimer) -> str:
    return str(timer.data.get("stage", "")) or timer.key


def _words(stage: str) -> str:
    text = stage.replace("_", " ")
    return text[:1].upper() + text[1:]


def _time(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
