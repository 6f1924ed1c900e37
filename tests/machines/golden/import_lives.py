"""Realistic lives of a folder's import."""

from __future__ import annotations

from typing import Any

from tests.machines.golden.journals import Life

PACE = {
    "bytes_s": 1_048_576.0,
    "files_s": 12.5,
    "transfer": {"low": 3.0, "likely": 4.0, "high": 6.0},
    "work": {"low": 30.0, "likely": 42.5, "high": 70.0},
    "ahead": 3,
}


def _count(life: Life, version: int, bytes_here: int = 0, **tally: int) -> None:
    data: dict[str, Any] = {"bytes": 900, "bytes_here": bytes_here, "bytes_done": 0, "pages": version}
    life.handler("counted", version=version, tally=tally, pace=PACE, last_arrival=1_790_000_001.5, **data)


def _sent(life: Life) -> None:
    life.begin(title="Boxes 1 to 9")
    _count(life, 1, waiting=3)
    life.handler("listed")
    _count(life, 2, 300, waiting=1, sending=1, queued=1)


def import_well(life: Life) -> None:
    _sent(life)
    _count(life, 5, 900, queued=1, working=2)
    _count(life, 4, 800, sending=1, queued=2)
    _count(life, 6, 900, working=1, ready=1, duplicate=1)
    _count(life, 7, 900, ready=2, duplicate=1)
    life.client("retry_failed", role="viewer")
    life.client("cancel")
    life.handler("swept")
    _count(life, 8, 900, ready=2, duplicate=1)


def import_fails_in_part(life: Life) -> None:
    _sent(life)
    _count(life, 3, 900, failed=2, working=1)
    life.client("retry_failed", role="editor", file=12)
    _count(life, 4, 900, failed=1, queued=1, locked=1)
    _count(life, 5, 900, failed=2, locked=1)
    life.client("retry_failed", role="editor", actor="bob")
    _count(life, 6, 600, waiting=1, queued=1, locked=1)
    _count(life, 7, 900, working=2, locked=1)
    _count(life, 8, 900, failed=1, ready=1, locked=1)
    _count(life, 9, 900, working=1, ready=1, locked=1)
    _count(life, 10, 900, ready=2, locked=1)
    _count(life, 11, 900, ready=2, failed=1)
    _count(life, 12, 900, ready=2, removed=1)


def import_paused(life: Life) -> None:
    life.begin(title="Boxes 1 to 9")
    life.client("pause", role="viewer")
    life.client("pause", role="editor")
    life.client("resume")
    life.handler("listed")
    _count(life, 2, 300, waiting=2, working=1)
    life.client("pause")
    _count(life, 3, 300, waiting=2, ready=1)
    life.handler("listed")
    life.client("resume", role="editor")
    _count(life, 4, 900, queued=1, ready=2)
    life.client("pause")
    life.client("resume")
    _count(life, 5, 900, ready=3)


def import_cancelled(life: Life) -> None:
    _sent(life)
    life.client("cancel", role="viewer")
    life.client("cancel", role="editor", actor="bob")
    life.client("resume")
    _count(life, 3, 900, working=1, ready=1, cancelled=1)
    life.handler("listed")
    _count(life, 4, 900, ready=1, cancelled=2)
    _count(life, 5, 900, ready=1, cancelled=2)


def import_empty(life: Life) -> None:
    life.begin(title="Nothing")
    life.handler("listed")
    _count(life, 0)
    _count(life, 1, waiting=1)
    life.handler("swept")


LIVES = (import_well, import_fails_in_part, import_paused, import_cancelled, import_empty)
