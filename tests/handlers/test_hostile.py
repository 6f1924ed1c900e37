"""Every malformed, encrypted and packed real file ends as this table says, within its limits."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from handlers.kinds import look
from handlers.parsing.parsed import Parsed, PasswordNeeded, Source, Unreadable
from handlers.parsing.readers import READERS
from handlers.reading import Room
from handlers.sandbox import Sandbox
from tests.handlers.outlet import Sunk
from tests.patience import PATIENCE_S


class Outcome(NamedTuple):
    """How a file ends: read (with this in its notice, and so many files from inside), locked until this
    password, or failed with this in its sentence."""

    end: str
    says: str = ""
    inside: int = 0
    password: str = ""


OUTCOMES = {
    "malformed/badzip.zip": Outcome("read", "1 left out (links)"),
    "malformed/circular-toc.pdf": Outcome("read"),
    "malformed/droste.zip": Outcome("read", inside=2),
    "malformed/invalid.pdf": Outcome("failed", "damaged"),
    "malformed/issue-1113-evil-xobjects.pdf": Outcome("read"),
    "malformed/issue-297.pdf": Outcome("read"),
    "malformed/malformed-from-issue-932.pdf": Outcome("read"),
    "malformed/non_utf.txt": Outcome("read"),
    "malformed/zen_of_python_corrupted.pdf": Outcome("read"),
    "encrypted/encypted_by_libreoffice.odt": Outcome("locked"),
    "encrypted/libreoffice-writer-password.pdf": Outcome("locked", password="openpassword"),
    "encrypted/password-hunter2.pdf": Outcome("locked", password="hunter2"),
    "encrypted/r3-user-password.pdf": Outcome("locked", password="asdfzxcv"),
    "encrypted/testEXCEL_protected_passtika.xlsx": Outcome("locked", password="tika"),
    "encrypted/testZipEncrypted.zip": Outcome("locked"),
    "archives/500_pages.7z": Outcome("read", inside=1),
    "archives/test-documents.rar": Outcome("read", inside=9),
    "archives/test-documents.zip": Outcome("read", inside=9),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(memory_bytes=256 << 20, time_s=PATIENCE_S, folder=tmp_path_factory.mktemp("scratch"))
    yield sandbox
    await sandbox.aclose()


async def ignore(*_: object) -> None:
    return


async def read(sandbox: Sandbox, path: Path, media_type: str, password: str = "") -> tuple[Parsed, Sunk]:
    sunk = Sunk()
    source = Source(path, media_type, password, path.name)
    parsed = await sandbox.read(source, progress=ignore, check=ignore, sink=sunk, room=Room(1000, 64 << 20))
    return parsed, sunk


async def ending(
    sandbox: Sandbox, path: Path, media_type: str, password: str = ""
) -> tuple[str, str, Parsed, Sunk]:
    """How it ends and what is said of it."""
    try:
        parsed, sunk = await read(sandbox, path, media_type, password)
    except PasswordNeeded as error:
        return "locked", str(error), Parsed(""), Sunk()
    except Unreadable as error:
        return "failed", str(error), Parsed(""), Sunk()
    return "read", parsed.meta.get("notice", ""), parsed, sunk


@pytest.mark.parametrize("name", sorted(OUTCOMES))
async def test_it_ends_as_told(sandbox: Sandbox, documents: Path, name: str) -> None:
    path, expected = documents / name, OUTCOMES[name]
    kind = look(path, path.name)
    if kind.media_type not in READERS:
        assert "cannot be read yet; supported are" in kind.reason
        return
    end, said, parsed, sunk = await ending(sandbox, path, kind.media_type)
    if "libarchive" in said:
        pytest.skip("this system has no libarchive")
    assert end == expected.end
    assert expected.says in said
    assert str(documents) not in said
    if end == "read":
        assert len(sunk.attached) == expected.inside
        assert parsed.text.strip() or said
        assert "\x00" not in parsed.text
    if end == "locked":
        assert "password" in said
        assert (await ending(sandbox, path, kind.media_type, "certainly not it"))[0] == "locked"
    if expected.password:
        end, _, parsed, _ = await ending(sandbox, path, kind.media_type, expected.password)
        assert (end, bool(parsed.text.strip())) == ("read", True)


def test_the_table_names_every_file(documents: Path) -> None:
    folders = ("malformed", "encrypted", "archives")
    there = {
        f"{path.parent.name}/{path.name}" for folder in folders for path in (documents / folder).iterdir()
    }
    assert there == set(OUTCOMES)


async def test_an_archive_that_holds_itself_brings_the_same_bytes_again(
    sandbox: Sandbox, documents: Path
) -> None:
    """So that its second round is recognised as the first, and there is no third."""
    path = documents / "malformed" / "droste.zip"
    _, sunk = await read(sandbox, path, "application/zip")
    assert dict(sunk.attached)["droste.zip"] == path.read_bytes()
