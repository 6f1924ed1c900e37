"""Entries that a topic's log no longer holds, out of the custody chain.

The chain has every transition in the order of the log, but no offsets. An entry that the log still
has is found in the chain, and from there as many transitions are counted back as entries are
missing. The log also counts machines that left, which the chain does not hold: so at most a few
entries too many are found, which their ids tell, and never one too few.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from server.hub import Since
from storage.journal_reading import JournalReading
from storage.machine_store import MachineStore

_BACK = (1000, 300, 100, 30, 10, 3, 1)
"""How far back in the log an entry is looked for that the chain has, too."""
_PAGE = 200
_ARRIVES_S = 10.0
"""How long the chain may take to get what the log has."""

Entry = dict[str, Any]
Missed = AsyncIterator[list[tuple[Entry, int]]]


async def missed(
    store: MachineStore, journal: JournalReading, topic: str, since: Since, now: Since
) -> Missed | None:
    """Pages of entries after `since`, each with the offset to resume from once it was delivered.

    The last one is followed by the log. Those from the chain have the epoch "" and the offset 0:
    their position is known no more.

    Args:
        now: A position of the topic.

    Returns:
        None where the epoch is another one, or the chain has nothing that fits the log.
    """
    if since.epoch != now.epoch or since.offset > now.offset:
        return None
    anchor = await _anchor(store, topic, now)
    row = None if anchor is None else await _row_of(journal, anchor)
    if anchor is None or row is None:
        return None
    count = anchor["offset"] - 1 - since.offset
    rows = await journal.before(topic, row, count)
    return _pages(journal, topic, rows, anchor["offset"] - 1) if rows else None


async def _anchor(store: MachineStore, topic: str, now: Since) -> Entry | None:
    """An early entry of the log that the chain holds, too."""
    for back in _BACK:
        log = await store.read_log(topic, now.epoch, max(0, now.offset - back))
        if log is not None:
            return next((entry for entry in log.entries if not entry["gone"]), None)
    return None


async def _row_of(journal: JournalReading, entry: Entry) -> int | None:
    try:
        async with asyncio.timeout(_ARRIVES_S):
            while (row := await journal.row_of(entry)) is None:  # noqa: ASYNC110 - written by any server
                await asyncio.sleep(0.2)
    except TimeoutError:
        return None
    return row


async def _pages(journal: JournalReading, topic: str, rows: list[int], last: int) -> Missed:
    for start in range(0, len(rows), _PAGE):
        page = rows[start : start + _PAGE]
        entries = await journal.read(topic, page)
        yield [
            (entry | {"epoch": "", "offset": 0}, last - (len(rows) - start - number - 1))
            for number, entry in enumerate(entries)
        ]
