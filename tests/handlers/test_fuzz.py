"""Random damage to files of every kind hurts nothing but the file."""

import os
from pathlib import Path

import pytest

from tests.handlers.fuzz import fuzz


async def check(seconds: float, seed: int, documents: Path | None) -> None:
    found = await fuzz(seconds, seed, documents, least=51)
    assert found.strange == []
    assert found.left_behind == 0
    assert found.files > 50
    assert found.ends["read"]
    assert found.ends["unreadable"]
    assert found.grown_bytes < 64 << 20


async def test_damaged_files_hurt_nothing() -> None:
    await check(6, 1, None)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_damaged_real_files_hurt_nothing_for_long(documents: Path) -> None:
    await check(float(os.environ.get("FUZZ_S", "120")), int(os.environ.get("FUZZ_SEED", "2")), documents)
