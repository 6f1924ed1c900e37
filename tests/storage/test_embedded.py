"""The private servers: one owner, back after a crash, gone after the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import make_url

from storage import embedded_redis
from storage.data_folder import (
    SOCKET_PATH_BYTES,
    DataFolder,
    DataFolderError,
    InUse,
    Owner,
    locked,
    read_owner,
)
from storage.embedded import EmbeddedError, NotReady, Program, Supervised
from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_redis import EmbeddedRedis, find_binary
from storage.system_user import SystemUser, open_way
from tests.patience import PATIENCE_S

PROJECT = Path(__file__).resolve().parents[2]

KILLED_OWNER = """
import asyncio, os, signal, sys
from pathlib import Path
from redis.asyncio import Redis
from storage.data_folder import DataFolder, locked
from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_redis import EmbeddedRedis

async def main():
    folder = DataFolder(Path(sys.argv[1]))
    with locked(folder, "http://127.0.0.1:1"):
        redis, postgres = EmbeddedRedis(folder), EmbeddedPostgres(folder)
        await redis.start()
        await postgres.start()
        client = Redis.from_url(redis.url)
        await client.set("written", "before the kill")
        print(redis.pid, postgres.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

LOCK_HOLDER = """
import sys
from pathlib import Path
from storage.data_folder import DataFolder, locked

with locked(DataFolder(Path(sys.argv[1])), "http://127.0.0.1:4711"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    root = Path(tempfile.mkdtemp(prefix="casewire-test-", dir="/tmp"))
    yield DataFolder(root)
    shutil.rmtree(root)


@pytest_asyncio.fixture(loop_scope="session")
async def redis(folder: DataFolder) -> AsyncIterator[EmbeddedRedis]:
    with locked(folder):
        server = EmbeddedRedis(folder)
        await server.start()
        yield server
        await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def postgres(folder: DataFolder) -> AsyncIterator[EmbeddedPostgres]:
    with locked(folder):
        server = EmbeddedPostgres(folder)
        await server.start()
        yield server
        await server.stop()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await holds():
            return
        await asyncio.sleep(0.05)
    pytest.fail("waited in vain")


async def connect(server: EmbeddedPostgres) -> asyncpg.Connection:
    url = make_url(server.url)
    return await asyncpg.connect(host=url.query["host"], user=url.username, database=url.database)


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def run_python(code: str, folder: DataFolder) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder.root)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_second_process_is_told_who_holds_the_data_folder(folder: DataFolder) -> None:
    with run_python(LOCK_HOLDER, folder) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InUse) as refused, locked(folder):
            pass
        owner = read_owner(folder)
        holder.communicate("")
    assert owner is not None
    assert owner.pid == holder.pid
    text = str(refused.value)
    assert f"process {holder.pid} (http://127.0.0.1:4711)" in text
    assert "CASEWIRE_DATA" in text


def test_the_lock_of_a_killed_process_is_free(folder: DataFolder) -> None:
    with run_python(LOCK_HOLDER, folder) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    assert read_owner(folder) is None
    with locked(folder):
        assert read_owner(folder) is not None


def test_the_lock_also_holds_within_one_process(folder: DataFolder) -> None:
    with locked(folder) as lock:
        lock.describe(Owner(pid=os.getpid(), redis_url="unix:///somewhere"))
        with pytest.raises(InUse, match=str(os.getpid())), locked(folder):
            pass
        owner = read_owner(folder)
        assert owner is not None
        assert owner.redis_url == "unix:///somewhere"
    assert read_owner(folder) is None


def test_a_data_folder_that_is_a_file_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataFolderError, match="set CASEWIRE_DATA"), locked(DataFolder(tmp_path / "file")):
        pass


def test_the_data_folder_is_closed_to_others(folder: DataFolder) -> None:
    inner = DataFolder(folder.root / "new")
    with locked(inner):
        assert stat.S_IMODE(inner.root.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(inner.lock_file.stat().st_mode) == 0o600


async def test_a_killed_redis_comes_back_with_its_data(redis: EmbeddedRedis) -> None:
    client = Redis.from_url(redis.url)
    await client.set("key", "value")
    first = redis.pid
    kill(first)

    async def back() -> bool:
        try:
            return redis.restarts == 1 and bool(await client.ping())
        except RedisError:
            return False

    await eventually(back)
    assert redis.pid != first
    assert await client.get("key") == b"value"
    await client.aclose()


async def test_redis_keeps_every_write_in_its_file_and_listens_on_no_port(redis: EmbeddedRedis) -> None:
    client = Redis.from_url(redis.url)
    config = await client.config_get("*")
    await client.aclose()
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["port"] == "0"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert stat.S_IMODE(redis.socket.stat().st_mode) == 0o700


async def test_a_killed_postgres_comes_back_with_what_was_committed(postgres: EmbeddedPostgres) -> None:
    connection = await connect(postgres)
    await connection.execute("CREATE TABLE kept (v vector(2)); INSERT INTO kept VALUES ('[1,2]')")
    first = postgres.pid
    kill(first)
    connection.terminate()

    async def back() -> bool:
        if postgres.restarts < 1:
            return False
        try:
            again = await connect(postgres)
        except (OSError, asyncpg.PostgresError):
            return False
        await again.close()
        return True

    await eventually(back)
    assert postgres.pid != first
    connection = await connect(postgres)
    assert await connection.fetchval("SELECT v::text FROM kept") == "[1,2]"
    await connection.close()


async def test_postgres_is_durable_and_listens_on_no_port(postgres: EmbeddedPostgres) -> None:
    connection = await connect(postgres)
    settings = {row["name"]: row["setting"] for row in await connection.fetch("SELECT * FROM pg_settings")}
    ordered = await connection.fetchval("SELECT lower('ÉTÉ')")
    await connection.close()
    assert settings["fsync"] == settings["synchronous_commit"] == "on"
    assert settings["jit"] == "off"
    assert settings["listen_addresses"] == ""
    assert settings["unix_socket_permissions"] == "0700"
    assert settings["server_encoding"] == "UTF8"
    assert ordered == "été"


async def test_a_clean_end_leaves_no_process_and_can_be_started_again(folder: DataFolder) -> None:
    for _ in range(2):
        with locked(folder):
            redis, postgres = EmbeddedRedis(folder), EmbeddedPostgres(folder)
            await redis.start()
            await postgres.start()
            assert postgres.pid is not None
            assert redis.pid is not None
            family = [psutil.Process(redis.pid), psutil.Process(postgres.pid)]
            family += family[1].children(recursive=True)
            assert len(family) > 3
            await postgres.stop()
            await redis.stop()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        assert alive == []
        assert not redis.socket.exists()
        # PostgreSQL says in its control file whether it ended in good order.
        assert "database system is shut down" in (folder.logs / "postgres.log").read_text(encoding="utf-8")


async def test_services_left_by_a_killed_owner_are_ended_before_new_ones_start(folder: DataFolder) -> None:
    owner = await asyncio.to_thread(run_python, KILLED_OWNER, folder)
    with owner:
        said, _ = await asyncio.to_thread(owner.communicate)
    left = [psutil.Process(int(pid)) for pid in said.split()]
    assert all(lives(process) for process in left)

    with locked(folder):
        redis, postgres = EmbeddedRedis(folder), EmbeddedPostgres(folder)
        await redis.start()
        await postgres.start()
        assert not any(lives(process) for process in left)
        client = Redis.from_url(redis.url)
        assert await client.get("written") == b"before the kill"
        await client.aclose()
        await postgres.stop()
        await redis.stop()


async def test_a_data_folder_with_a_long_path_gets_short_socket_paths(folder: DataFolder) -> None:
    deep = DataFolder(folder.root / ("long " * 30).strip())
    with locked(deep):
        redis, postgres = EmbeddedRedis(deep), EmbeddedPostgres(deep)
        assert len(str(redis.socket)) <= SOCKET_PATH_BYTES
        await redis.start()
        await postgres.start()
        await (await connect(postgres)).close()
        await postgres.stop()
        await redis.stop()
    shutil.rmtree(deep.sockets)


def test_a_redis_on_the_path_that_is_too_old_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0 bits=64'\n", encoding="utf-8")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded_redis, "UNPACKED_NAME", "absent")
    with pytest.raises(EmbeddedError, match=r"redis-server is 6\.0\.16\): run `make setup`"):
        find_binary()
    old.write_text("#!/bin/sh\necho 'Valkey server v=8.1.0 sha=00000000:0 bits=64'\n", encoding="utf-8")
    assert find_binary().version == (8, 1, 0)


async def test_data_of_a_newer_redis_is_not_silently_replaced(folder: DataFolder) -> None:
    if find_binary().version >= (7,):
        pytest.skip("the Redis found here reads the newer format")
    with locked(folder):
        (folder.redis / "appendonlydir").mkdir()
        with pytest.raises(EmbeddedError, match="written by Redis 7"):
            await EmbeddedRedis(folder).start()


async def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async def never() -> None:
        raise NotReady

    program = Program(
        name="Broken",
        argv=("/bin/sh", "-c", "echo the disk is full >&2; exit 3"),
        home=tmp_path,
        log=tmp_path / "log",
        ping=never,
        end=signal.SIGTERM,
        kill=signal.SIGKILL,
    )
    with pytest.raises(EmbeddedError, match="Broken ended while starting: the disk is full"):
        await Supervised(program).start()


async def test_a_program_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    async def never() -> None:
        raise NotReady

    program = Program(
        name="Mute",
        argv=("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"),
        home=tmp_path,
        log=tmp_path / "log",
        ping=never,
        end=signal.SIGTERM,
        kill=signal.SIGKILL,
        start_s=0.3,
        end_s=0.3,
    )
    supervised = Supervised(program)
    with pytest.raises(EmbeddedError, match="Mute does not answer"):
        await supervised.start()
    assert supervised.pid is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to let another user in")
def test_the_way_to_the_data_is_opened_for_passing_through_only(folder: DataFolder) -> None:
    inner = folder.root / "closed" / "data"
    inner.mkdir(parents=True, mode=0o700)
    inner.parent.chmod(0o700)
    inner.chmod(0o700)
    open_way(inner, SystemUser("nobody", 65534, 65534))
    assert stat.S_IMODE(inner.stat().st_mode) == 0o701
    assert stat.S_IMODE(inner.parent.stat().st_mode) == 0o701
