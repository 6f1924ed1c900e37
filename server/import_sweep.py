"""Compares the files of an import with their machines, and puts right what does not agree.

Files follow their machines in the transaction that archives these, so they agree unless Redis lost
machines, or some of their newest steps: a machine that is gone with its store is begun anew, since
the bytes of its file are kept.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from machines.import_files import standing
from server.engine import Engine
from server.import_machines import begin_anew
from storage.archive import archived
from storage.import_files import ImportFiles
from storage.imports import ImportRow

logger = logging.getLogger(__name__)

AFTER_S = 60.0
"""Without a change of the file; every transition is in PostgreSQL long before."""
_CARRIED_S = 10.0
"""After which a machine's last step has reached PostgreSQL, unless that was away."""
_AT_ONCE = 500


async def sweep(
    row: ImportRow, *, engine: Engine, database: AsyncEngine, files: ImportFiles, after_s: float = AFTER_S
) -> int:
    """Look at every file that has not moved for `after_s`; returns how many were put right."""
    corrected, last = 0, 0
    while page := await files.unmoved(row.id, for_s=after_s, after=last, limit=_AT_ONCE):
        last = page[-1].id
        for file in page:
            snapshot = await engine.load(file.machine)
            if snapshot is None:
                async with database.connect() as connection:
                    snapshot = await archived(connection, file.machine)
            if snapshot is None:
                await begin_anew(row, file, engine=engine, files=files)
                corrected += 1
            elif standing(snapshot).state != file.state and time.time() - snapshot.updated_at > _CARRIED_S:
                corrected += await files.correct(file, snapshot)
    if corrected:
        logger.warning(
            "Files of an import had lost touch with their machines.",
            extra={"action": "import.swept", "machine": row.id, "files": corrected},
        )
    return corrected
