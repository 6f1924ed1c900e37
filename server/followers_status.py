"""How the stores beside PostgreSQL keep up, for the status page, the metrics and the command line."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.beside import followers_of
from server.settings import Settings
from storage.follow import Follower, StoreBesideError
from storage.marks import FollowerState, Marks

logger = logging.getLogger(__name__)

_ANSWER_S = 3.0
_LATE_S = 60.0
"""Marks that wait for so long show that something does not work."""


async def followers_status(settings: Settings, database: AsyncEngine) -> list[dict[str, Any]]:
    """A row for each configured follower, as `status_view.FollowerView`; nothing without a database."""
    try:
        async with followers_of(settings, database) as followers:
            states = {state.name: state for state in await Marks(database).states()}
            return list(await asyncio.gather(*(_row(each, states.get(each.name)) for each in followers)))
    except (SQLAlchemyError, OSError):
        return []  # told by the service's health


def follower_problems(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong, one sentence each."""
    problems = [row["problem"] for row in rows if row["problem"]]
    problems += [
        f"the store {row['name']} has yet to take {row['waiting']} changes, the oldest since "
        f"{row['behind_s']:.0f} s"
        for row in rows
        if row["phase"] == "following" and not row["problem"] and row["behind_s"] > _LATE_S
    ]
    return problems


def follower_line(row: dict[str, Any]) -> str:
    """A row as one line."""
    how = f"filled to {row['filled_percent']} %" if row["phase"] != "following" else "following"
    behind = f", {row['waiting']} changes to take, the oldest since {row['behind_s']:.0f} s"
    return f"{row['version'] or 'does not answer'} at {row['store']}: {how}" + (
        behind if row["waiting"] else ""
    )


def behind_s(state: FollowerState) -> float:
    """Age of the oldest mark; 0 where none waits."""
    return 0.0 if state.behind_since is None else max(0.0, time.time() - state.behind_since.timestamp())


async def _row(follower: Follower, state: FollowerState | None) -> dict[str, Any]:
    version, problem = "", state.error if state is not None else ""
    try:
        async with asyncio.timeout(_ANSWER_S):
            version = await follower.check()
            problem = ""
    except StoreBesideError as error:
        if state is not None and state.phase != "new":  # a new one is made fit first
            problem = str(error)
    except TimeoutError:
        problem = f"the store {follower.name} at {follower.target} does not answer within {_ANSWER_S:.0f} s"
    return {
        "name": follower.name,
        "store": follower.target,
        "version": version,
        "phase": state.phase if state is not None else "unknown",
        "filled_percent": int(100 * state.filled) if state is not None else 0,
        "waiting": state.waiting if state is not None else 0,
        "behind_s": round(behind_s(state), 1) if state is not None else 0.0,
        "problem": problem or None,
    }
