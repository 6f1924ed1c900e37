"""A reader that has been taken over reaches nothing: each guard and each limit, tried from inside.

What needs a guard that this kernel has not got is skipped, and says so.
"""

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from handlers.parsing.landlock import version
from handlers.parsing.parsed import Source, Unreadable
from handlers.reading import Check
from handlers.sandbox import Sandbox
from handlers.scratch import Scratch, sweep
from tests.handlers.outlet import Sunk
from tests.patience import PATIENCE_S

READERS = {"text/hostile": "tests.handlers.hostile_reader", "text/plain": "handlers.parsing.plain"}


@asynccontextmanager
async def limited(folder: Path, *, time_s: float, total_s: float) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(
        memory_bytes=128 << 20,
        time_s=time_s,
        total_s=total_s,
        output_bytes=1 << 20,
        scratch_bytes=8 << 20,
        folder=folder,
        readers=READERS,
    )
    yield sandbox
    await sandbox.aclose()
    assert list(folder.iterdir()) == []


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """With time for everything that ends by itself or by another limit, also on a busy machine."""
    async with limited(tmp_path / "scratch", time_s=PATIENCE_S, total_s=PATIENCE_S) as made:
        yield made


async def ignore(*_: object) -> None:
    return


async def attempt(sandbox: Sandbox, folder: Path, *lines: str, check: Check = ignore) -> list[str]:
    (folder / "file").write_text("\n".join(lines), "utf-8")
    source = Source(folder / "file", "text/hostile")
    parsed = await sandbox.read(source, progress=ignore, check=check, sink=Sunk())
    return parsed.text.split("\n")


async def still_reads(sandbox: Sandbox, folder: Path) -> bool:
    (folder / "plain").write_text("few", "utf-8")
    source = Source(folder / "plain", "text/plain")
    return (await sandbox.read(source, progress=ignore, check=ignore, sink=Sunk())).text == "few"


async def guarded(sandbox: Sandbox, what: str, by: str) -> None:
    """Skip what needs a guard that this kernel has not got; one that it has got must be in force."""
    if by in (await sandbox.guards())[what]:
        return
    has_filter = "Seccomp_filters:" in Path("/proc/self/status").read_text("ascii")
    has = {"seccomp": has_filter and platform.machine() in ("x86_64", "aarch64"), "Landlock": version() > 0}
    assert not has[by], f"{by} is not in force, although this kernel has it"
    pytest.skip(f"this kernel has no {by}")


async def test_the_network_is_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    await guarded(sandbox, "network", "seccomp")
    lines = [f"connect {kind}" for kind in ("tcp", "udp", "unix", "raw")]
    assert await attempt(sandbox, tmp_path, *lines) == ["EPERM"] * 4


async def test_other_files_are_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    await guarded(sandbox, "files", "Landlock")
    secret = tmp_path / "data" / "secret"
    secret.parent.mkdir()
    secret.write_text("words", "utf-8")
    root = Path(__file__).parents[2]
    lines = [
        f"open {secret}",
        "open /etc/passwd",
        f"open /proc/{os.getpid()}/environ",
        f"open {root / 'README.md'}",
        f"through-link {secret}",
        f"write {secret}",
        f"write {tmp_path / 'new'}",
        f"write {root / 'handlers' / 'sandbox.py'}",
        f"hard-link {secret}",
    ]
    assert await attempt(sandbox, tmp_path, *lines) == ["EACCES"] * 8 + ["EXDEV"]
    assert secret.read_text("utf-8") == "words"
    assert not (tmp_path / "new").exists()


async def test_the_file_that_is_read_cannot_be_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    await guarded(sandbox, "files", "Landlock")
    before = list((tmp_path / "scratch").glob("*/source"))
    lines = [f"write {before[0] / 'file'}", f"open {before[0] / 'file'}", f"hard-link {before[0] / 'file'}"]
    assert await attempt(sandbox, tmp_path, *lines) == ["EACCES", "succeeded", "EXDEV"]


async def test_no_process_can_be_started_or_touched(sandbox: Sandbox, tmp_path: Path) -> None:
    await guarded(sandbox, "processes", "seccomp")
    lines = ["start", "run /bin/true", f"kill {os.getpid()}", f"limit {os.getpid()}"]
    assert await attempt(sandbox, tmp_path, *lines) == ["EPERM"] * 4


async def test_no_privilege_is_left(sandbox: Sandbox, tmp_path: Path) -> None:
    await guarded(sandbox, "processes", "seccomp")
    names = ["namespace", "mount", "trace", "mode", "shared", "rings", "x32"]
    assert await attempt(sandbox, tmp_path, *(f"privilege {name}" for name in names)) == ["EPERM"] * 7
    pid = sandbox._child.process.pid if sandbox._child else 0
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    )
    assert {int(status[f"Cap{one}"], 16) for one in ("Inh", "Prm", "Eff", "Bnd", "Amb")} <= {0} or (
        os.getuid() and int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    )
    assert status["NoNewPrivs"] == "1"


async def test_threads_are_allowed(sandbox: Sandbox, tmp_path: Path) -> None:
    await guarded(sandbox, "processes", "seccomp")
    assert await attempt(sandbox, tmp_path, "thread") == ["ran"]


async def test_temporary_files_are_gone_before_the_next_file(sandbox: Sandbox, tmp_path: Path) -> None:
    assert await attempt(sandbox, tmp_path, "scratch", "nest 1500") == ["[] kept", "nested"]
    assert await attempt(sandbox, tmp_path, "scratch") == ["[] kept"]


async def test_temporary_files_are_limited_one_by_one_and_together(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        await attempt(sandbox, tmp_path, f"grow {9 << 20}")
    with pytest.raises(Unreadable, match="8 MiB of temporary files"):
        await attempt(sandbox, tmp_path, "fill 1000000")
    with pytest.raises(Unreadable, match="8 MiB of temporary files"):
        await attempt(sandbox, tmp_path, "fill 0")
    assert await still_reads(sandbox, tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("allocate", "more than 128 MiB of memory"),
        ("allocate-beside", "more than 128 MiB of memory"),
        ("answer nonsense", "nonsense"),
        ("answer huge", "more than 1 MiB"),
        ("answer block", "nonsense"),
        ("crash", "crash"),
    ],
)
async def test_what_goes_too_far_is_ended(sandbox: Sandbox, tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        await attempt(sandbox, tmp_path, line)
    assert await still_reads(sandbox, tmp_path)


@pytest.mark.parametrize(
    ("line", "time_s", "total_s", "reason"),
    [
        ("spin", 2, 600, "no further for 2 seconds"),
        ("print", 2, 600, "no further for 2 seconds"),
        ("progress", 600, 3, "longer than 3 seconds"),
    ],
)
async def test_what_never_ends_is_ended(
    tmp_path: Path, line: str, time_s: float, total_s: float, reason: str
) -> None:
    async with limited(tmp_path / "scratch", time_s=time_s, total_s=total_s) as hurried:
        with pytest.raises(Unreadable, match=reason):
            await attempt(hurried, tmp_path, line)
        async with asyncio.timeout(PATIENCE_S):
            while not await reads_in_time(hurried, tmp_path):
                pass


async def reads_in_time(sandbox: Sandbox, folder: Path) -> bool:
    """As `still_reads`, where a busy machine may take longer than the sandbox waits."""
    with suppress(Unreadable):
        return await still_reads(sandbox, folder)
    return False


async def test_open_files_are_limited(sandbox: Sandbox, tmp_path: Path) -> None:
    assert await attempt(sandbox, tmp_path, "many") == ["EMFILE True"]


async def test_what_killed_processes_left_is_swept_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    used, left = Scratch(tmp_path), Scratch(tmp_path)
    (left.work / "x").write_text("x", "utf-8")
    os.close(left._lock)
    young = Scratch(tmp_path)
    os.close(young._lock)
    for scratch in (used, left):
        os.utime(scratch.folder, (0, 0))
    assert sweep(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([used.folder, young.folder])
    used.remove()
