"""Failed files of an import are marked to be tried again, and no others."""

from __future__ import annotations

from handlers.job import Job
from machines.importing_events import RetryFiles
from storage.import_files import ImportFiles


async def retry_files(effect: RetryFiles, job: Job, *, files: ImportFiles) -> None:
    """Those that never came are to be sent anew; the machines of the others will be told to retry."""
    await files.ask_again(effect.imported, effect.file, effect.actor)
