"""Which machines an import has, and how they come to be: its own, and one for each file."""

from __future__ import annotations

from server.engine import Engine
from storage.import_files import FileRow, ImportFiles
from storage.imports import ImportRow

LOST = "the work on it was lost with the store that held it; import the file it was found in once more"


def spawning_id(file: int, attempt: int) -> str:
    """Id of the event that makes a file's machine, from which the machine's own follows."""
    return f"import:{file}:{attempt}"


def shortened(path: str) -> str:
    """A path as the name of an upload, whose end says more than its beginning."""
    return path if len(path) <= 1024 else f"…{path[-1023:]}"


async def begin_import(engine: Engine, row: ImportRow) -> None:
    """Make the machine of an import, unless it is there."""
    await engine.spawn(
        "import",
        f"case:{row.case_id}",
        {"title": row.title},
        source="handler",
        actor=row.owner,
        event_id=f"import:{row.id}",
        machine=row.id,
    )


async def begin_anew(row: ImportRow, file: FileRow, *, engine: Engine, files: ImportFiles) -> None:
    """A file whose machine was lost gets another: at once if its bytes are here, else when it is sent."""
    if file.found:
        await files.give_up(file, LOST)
        return
    if not file.sha256:
        await files.replace(file, state="waiting", machine="")
        return
    machine = engine.machine_for("upload", row.topic, spawning_id(file.id, file.attempt + 1))
    await files.replace(file, state="received", machine=machine)
