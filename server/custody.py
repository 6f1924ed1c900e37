"""The whole chain of custody of an instance, checked for `casewire custody verify`."""

from __future__ import annotations

from server.runtime import custody_folder
from server.services import attached_services
from server.settings import Settings
from storage.custody_heads import HeadsError
from storage.database import create_engine
from storage.journal import CustodyJournal


async def verify_all(settings: Settings) -> tuple[bool, list[str]]:
    """Whether every topic's chain is whole, and a line for each topic and each problem.

    A topic that was signed and has no rows left is a problem, too.

    Raises:
        ServicesError: No server runs on the data folder and no database is configured.
    """
    services = attached_services(settings)
    database = create_engine(services.database_url, pool_size=1)
    try:
        journal = CustodyJournal(database)
        try:
            heads = custody_folder(services).read()
        except HeadsError as error:
            return False, [str(error)]
        topics = sorted({*await journal.topics(), *(head.topic for head in heads)})
        well, lines = True, []
        for topic in topics:
            verdict = await journal.verify(topic, [head for head in heads if head.topic == topic])
            state = "broken" if verdict.problems else "whole"
            lines.append(f"{topic}: {verdict.rows} rows, signed to {verdict.signed_to}: {state}")
            lines += [f"  row {problem.seq}: {problem.what}" for problem in verdict.problems]
            well = well and not verdict.problems
        return well, lines or ["There are no records yet."]
    finally:
        await database.dispose()
