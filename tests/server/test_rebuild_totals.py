"""`casewire rebuild totals`: what is kept is told where it is wrong, and counted anew."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from server.cli_rebuild import rebuild_totals
from server.settings import Settings
from storage.database import create_engine
from storage.evidence import ChunkDraft, EvidenceStore
from tests.case_rows import new_case, new_evidence


async def test_wrong_totals_are_told_and_mended(
    database: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = create_engine(database, pool_size=1)
    store = EvidenceStore(engine)
    row = await store.register(new_evidence(await new_case(engine), "sha"))
    await store.store_text(
        row.id, title="", text="x", pages=[], meta={}, chunks=[ChunkDraft(0, 0, 0, 1, "x", [])]
    )
    assert await rebuild_totals(settings, check=True) == 0
    assert capsys.readouterr().out == "1 compared: 0 missing, 0 too many, 0 different\n"
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE case_totals SET chunks = 7"))
    await engine.dispose()
    wrong = "case case1: kept (7,0,0), counted (1,0,0)\n1 compared: 0 missing, 0 too many, 1 different\n"
    for check, status, told in ((True, 1, wrong), (False, 0, ""), (True, 0, "")):
        assert await rebuild_totals(settings, check=check) == status
        assert capsys.readouterr().out == (told or "1 compared: 0 missing, 0 too many, 0 different\n")
