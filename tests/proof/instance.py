"""A real instance in a process of its own, its victims by kind, and whoever restarts what dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import make_url

from storage.data_folder import DataFolder, Owner, read_owner

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 300.0
_END_S = 240.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def connect(owner: Owner) -> Any:
    """A connection to the private PostgreSQL of an instance."""
    url = make_url(owner.database_url)
    return await asyncpg.connect(host=url.query["host"], user=url.username, database=url.database)


class Instance:
    """`python -m server.cli serve` on a data folder of its own, started again whenever it ends.

    Args:
        settings: More of its environment.
    """

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="casewire-proof-", dir="/tmp"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "server.log"
        self.starts = 0
        self.ended_itself: list[int] = []
        """Exit codes of servers that nobody had killed."""
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._expected = False

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while it is down."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def environment(self) -> dict[str, str]:
        """Under which commands find this instance."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("CASEWIRE_")}
        own = {
            "CASEWIRE_DATA": str(self.folder / "data"),
            "CASEWIRE_PORT": str(self.port),
            "CASEWIRE_LOG_FORMAT": "json",
        }
        return known | own | self._settings

    @property
    def owner(self) -> Owner | None:
        """Who holds the data folder, with the addresses of the embedded services."""
        return read_owner(DataFolder(self.folder / "data"))

    async def start(self) -> None:
        """Start, and keep it started from now on, as a process manager would."""
        self._spawn()
        await self.ready()
        self._keeper = asyncio.create_task(self._keep(), name="process manager")

    async def ready(self, timeout_s: float = _START_S) -> None:
        """Wait until it answers, and until its Redis and its PostgreSQL do, which may be starting again."""
        async with asyncio.timeout(timeout_s), httpx.AsyncClient(base_url=self.url, timeout=10) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get("/healthz")).is_success and await self._services_answer():
                        return
                await asyncio.sleep(0.1)

    async def _services_answer(self) -> bool:
        owner = self.owner
        if owner is None:
            return False
        redis: Any = Redis.from_url(owner.redis_url)
        try:
            await redis.ping()
            await (await connect(owner)).close()
        except (RedisError, OSError, asyncpg.PostgresError):
            return False
        finally:
            await redis.aclose()
        return True

    async def stop(self) -> int:
        """End it in good order; the exit code, and a kill after some minutes."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, _END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return await asyncio.to_thread(process.wait)

    def clear(self) -> None:
        """Remove the data folder, and whatever still runs on it."""
        for process in self._on_folder():
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command of Casewire beside the server; its exit status and what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.cli", *arguments,
            cwd=_ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 600)
        return process.returncode or 0, said.decode()

    def victims(self) -> dict[str, list[psutil.Process]]:
        """The processes that run now, by kind."""
        found: dict[str, list[psutil.Process]] = defaultdict(list)
        postmasters: list[psutil.Process] = []
        for process in self._on_folder():
            with contextlib.suppress(psutil.Error):
                name, line = process.name(), process.cmdline()
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if "redis" in name or "valkey" in name:
                    found["redis"].append(process)
                elif "postgres" in name and "-D" in line:
                    postmasters.append(process)
        found["postgres"] = postmasters
        for postmaster in postmasters:
            with contextlib.suppress(psutil.Error):
                found["postgres session"] += [
                    child for child in postmaster.children() if "[local]" in " ".join(child.cmdline())
                ]
        if self.pid is not None:
            with contextlib.suppress(psutil.Error):
                server = psutil.Process(self.pid)
                found["server"].append(server)
                for child in server.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        line = child.cmdline()
                        if "server.worker" in line:
                            found["worker"].append(child)
                        elif "server.one_of_several" in line:
                            found["server process"].append(child)
                        elif "handlers.parsing" in line:
                            found["parser"].append(child)
        return {kind: processes for kind, processes in found.items() if processes}

    def _on_folder(self) -> list[psutil.Process]:
        mark = str(self.folder)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(mark in word for word in process.cmdline()) or process.cwd().startswith(mark):
                    found.append(process)
        return found

    def _spawn(self) -> None:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve"],
                cwd=_ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.starts += 1

    async def _keep(self) -> None:
        since = time.monotonic()
        while True:
            await asyncio.sleep(0.2)
            process = self._process
            if process is None or process.poll() is None:
                continue
            if process.returncode != -signal.SIGKILL:
                self.ended_itself.append(process.returncode)
            # Not at once where it does not come up, as process managers do.
            await asyncio.sleep(0.2 if time.monotonic() - since > 5 else 1.0)
            since = time.monotonic()
            self._spawn()
