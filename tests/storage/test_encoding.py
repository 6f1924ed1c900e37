"""Files are read alike whatever the locale is: LLVM sets another one while it compiles in a thread."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from pathlib import Path

import pytest

import storage
from storage import machine_search, redis_calls

SCRIPTS = sorted(path.stem for path in Path(storage.__file__).parent.glob("*.lua"))


@pytest.fixture
def plain_locale() -> Iterator[None]:
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("plain_locale")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_read(name: str) -> None:
    redis_calls._script.cache_clear()
    _, source = redis_calls._script(name)
    assert "redis.call" in source


@pytest.mark.usefixtures("plain_locale")
def test_the_query_of_a_search_is_read() -> None:
    assert len(str(machine_search._page.__wrapped__())) > 100
