"""What a database server takes while it is asked: memory, and time for each statement."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

SHOWN = 12
"""Statements that are shown."""


class Memory(threading.Thread):
    """The most memory that the server's processes have together, shared pages counted once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._server, self._end = psutil.Process(pid), threading.Event()
        self.most_bytes = 0

    def run(self) -> None:
        while not self._end.wait(2.0):
            self.most_bytes = max(self.most_bytes, self.now())

    def now(self) -> int:
        total = 0
        for one in [self._server, *self._server.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total

    def stop(self) -> int:
        self._end.set()
        self.join()
        return self.most_bytes


@contextmanager
def statements(database: AsyncEngine, taken: dict[str, list[float]]) -> Iterator[None]:
    """Milliseconds of every statement that is sent meanwhile, by its text."""

    def before(_c: Any, _cursor: Any, statement: str, _v: Any, context: Any, _m: Any) -> None:
        context.began = time.perf_counter()

    def after(_c: Any, _cursor: Any, statement: str, _v: Any, context: Any, _m: Any) -> None:
        taken[" ".join(statement.split())].append(1000 * (time.perf_counter() - context.began))

    event.listen(database.sync_engine, "before_cursor_execute", before)
    event.listen(database.sync_engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(database.sync_engine, "before_cursor_execute", before)
        event.remove(database.sync_engine, "after_cursor_execute", after)


def show_statements(sent: Mapping[str, Sequence[float]], asked: int) -> None:
    """The statements that took longest, by their sum."""
    print("\n| ms a question | a call, median | calls | statement |\n|---|---|---|---|")
    for statement, ms in sorted(sent.items(), key=lambda one: -sum(one[1]))[:SHOWN]:
        print(f"| {sum(ms) / asked:.1f} | {statistics.median(ms):.1f} | {len(ms)} | {statement[:110]} |")
    print(flush=True)
