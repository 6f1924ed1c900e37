"""Whether a job fits into the memory that is free: a worker leaves it to others, or to later, if not."""

from __future__ import annotations

import logging

from gpu.memory.device import main_memory
from machines.effect import effect_types
from storage.machine_store import OutboxItem

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Before a worker takes the next job, after one that did not fit."""


def has_room(item: OutboxItem) -> bool:
    """Whether this machine (or its control group) has free what the job's effect declares to need."""
    known = effect_types().get(item.name)
    needed = 0 if known is None else known.memory_mb << 20
    free, total = main_memory() if needed else (0, 0)
    if free >= needed:
        return True
    logger.warning(
        "A job waits, since it needs more memory than is free here.",
        extra={
            "action": "job.no_room",
            "effect": item.effect_id,
            "effect_name": item.name,
            "needed": needed,
            "free": free,
            "total": total,
        },
    )
    return False
