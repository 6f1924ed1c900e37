"""What guards the processes that read files is shown, above all where it is nothing."""

import pytest

from server import status
from server.services import Services


async def test_the_guards_in_force_are_told(services: Services) -> None:
    found = await status._sandbox(services)
    assert set(found) == {"network", "files", "processes"}
    assert list((services.data_dir / "scratch").iterdir()) == []
    assert await status._sandbox(services) == found


@pytest.mark.parametrize(
    ("by", "line"),
    [
        (["seccomp", "namespace"], "network guarded by seccomp, namespace"),
        ([], "network NOT GUARDED: this system has nothing for it"),
    ],
)
def test_a_missing_guard_is_called_missing(by: list[str], line: str) -> None:
    assert status._guarded("network", by) == line
