"""A folder sent to a server: listed, then sent in batches, for as long as the server wants files.

Nothing is remembered here. What is still wanted is asked of the server, so a sender that was ended
begins where it stopped, and one that outlives a restart of the server goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from server.client import Client, Message, Refused
from server.folder_walk import CHANGED, Found, Unstable, check_same, hash_of, open_file, read_whole, reason_of

logger = logging.getLogger(__name__)

LISTED_AT_ONCE = 1000
BATCH_BYTES = 4 << 20
BATCH_FILES = 200
SMALL_BYTES = 1 << 20
"""Files up to this size share a request."""
CONCURRENCY = 4
_PAGE = 1000
_BLOCK_BYTES = 1 << 20
_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Between tries to reach a server that does not answer; the last one again and again."""
PATIENCE_S = 900.0
"""For which a server may be away."""

_RAW = {"Content-Type": "application/octet-stream"}
_HERE = ("upload.not_receiving", "upload.empty", "upload.too_large")
"""Refusals of one file's content after which its machine says how it stands."""

T = TypeVar("T")
Wanted = Message
"""A file that the server wants, as it tells it."""


class Over(Exception):
    """The import takes no files any more."""


class FolderSender:
    """Sends one folder into one import.

    Args:
        machine: The import.
        root: The folder, in the bytes of the file system.

    Attributes:
        odd: Path as it is shown → the real one, where the former does not lead to the latter.
        skipped: What is in the folder and no file.
        changed: Files that were received before, and have changed since.
        paused: Whether the import takes no files just now.
    """

    def __init__(self, client: Client, machine: str, root: bytes) -> None:
        self._client = client
        self._base = f"/api/imports/{quote(machine)}"
        self.root = root
        self.odd: dict[str, bytes] = {}
        self.skipped: list[Found] = []
        self.changed: list[str] = []
        self.paused = False

    async def tell_all(self, found: Iterator[Found], *, tell: Callable[[int], None] = lambda _: None) -> int:
        """Tell the server what there is; returns how many files."""
        listed = 0
        while page := await asyncio.to_thread(lambda: list(islice(found, LISTED_AT_ONCE))):
            files = []
            for each in page:
                if each.skipped:
                    self.skipped.append(each)
                    continue
                files.append(each)
                if os.fsencode(each.path) != os.path.relpath(each.real, self.root):
                    self.odd[each.path] = each.real
            body = {"files": await asyncio.to_thread(_listings, files)}
            told = await self._ask("POST", "manifest", body)
            self.changed += [each.path for each, one in zip(files, told, strict=True) if one["changed"]]
            listed += len(files)
            tell(listed)
        await self._ask("POST", "manifest/end")
        return listed

    async def send_wanted(self) -> int:
        """Send every file that the server wants now; returns how many that were.

        Raises:
            Over: The import was cancelled.
            ConnectionError: The server was away for too long.
            Refused: It takes nothing from this sender.
        """
        wanted = 0
        running: set[asyncio.Task[None]] = set()
        try:
            async for portion in self._portions():
                wanted += len(portion)
                while len(running) >= CONCURRENCY:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        await task
                running.add(asyncio.create_task(self._send(portion)))
            for task in tuple(running):
                await task
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return wanted

    async def _portions(self) -> AsyncIterator[list[Wanted]]:
        """What is wanted: a large file alone, small ones together."""
        small: list[Wanted] = []
        held = after = 0
        while page := await self._page(after):
            after = page[-1]["file"]
            for file in page:
                if file["bytes"] > SMALL_BYTES:
                    yield [file]
                    continue
                small.append(file)
                held += file["bytes"]
                if held >= BATCH_BYTES or len(small) >= BATCH_FILES:
                    yield small
                    small, held = [], 0
        if small:
            yield small

    async def _page(self, after: int) -> list[Wanted]:
        page: list[Wanted] = await self._ask(
            "GET", f"files?state=waiting,sending&limit={_PAGE}&after={after}"
        )
        return page

    async def _send(self, portion: Sequence[Wanted]) -> None:
        if len(portion) == 1 and portion[0]["bytes"] > SMALL_BYTES:
            await self._send_large(portion[0])
        else:
            await self._send_small(portion)

    async def _send_small(self, portion: Sequence[Wanted]) -> None:
        read, failed = await asyncio.to_thread(self._read, portion)
        if failed:
            await self._give_up(failed)
        if not read:
            return
        header = [
            {"file": n, "bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in read.items()
        ]
        body = b"".join([json.dumps({"files": header}).encode(), b"\n", *read.values()])
        await self._ask("POST", "batch", content=body, headers=_RAW)

    def _read(self, portion: Sequence[Wanted]) -> tuple[dict[int, bytes], list[tuple[int, str]]]:
        read: dict[int, bytes] = {}
        failed: list[tuple[int, str]] = []
        for file in portion:
            try:
                read[file["file"]] = read_whole(self._real(file), BATCH_BYTES)
            except OSError as error:
                failed.append((file["file"], reason_of(error)))
            except Unstable as error:
                failed.append((file["file"], str(error)))
        return read, failed

    async def _send_large(self, file: Wanted) -> None:
        try:
            expected = await self._ask("POST", f"files/{file['file']}/upload")
            await self._patiently(partial(self._put, expected["machine"], self._real(file)))
        except Refused as refusal:
            if refusal.code not in _HERE:
                raise
        except ConnectionError:
            raise
        except (OSError, Unstable) as error:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            await self._give_up([(file["file"], reason)])

    async def _put(self, machine: str, real: bytes) -> None:
        with await asyncio.to_thread(open_file, real) as source:
            before = os.fstat(source.fileno())

            async def blocks() -> AsyncIterator[bytes]:
                sent = 0
                while block := await asyncio.to_thread(source.read, _BLOCK_BYTES):
                    sent += len(block)
                    if sent >= before.st_size:  # nothing is whole before this block has gone
                        check_same(before, os.fstat(source.fileno()), sent)
                    yield block
                if sent < before.st_size:
                    raise Unstable(CHANGED)

            await self._client.request(
                "PUT",
                f"/api/uploads/{quote(machine)}/content",
                content=blocks(),
                headers=_RAW | {"Content-Length": str(before.st_size)},
            )

    async def _give_up(self, failed: Sequence[tuple[int, str]]) -> None:
        body = {"files": [{"file": number, "reason": reason} for number, reason in failed]}
        await self._ask("POST", "failed", body)

    def _real(self, file: Wanted) -> bytes:
        path: str = file["path"]
        return self.odd.get(path) or os.path.join(self.root, os.fsencode(path))

    async def _ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        request = partial(self._client.request, method, f"{self._base}/{path}", body, **options)
        return await self._patiently(request)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the server is away, restarts, or the import is paused."""
        waited, tries = 0.0, 0
        while True:
            try:
                answer = await ask()
            except (ConnectionError, TimeoutError) as error:
                if waited >= PATIENCE_S:
                    raise ConnectionError(str(error)) from error
            except Refused as refusal:
                if refusal.code == "import.over":
                    raise Over from refusal
                if refusal.code == "import.paused":
                    self.paused, waited = True, 0.0
                elif not (refusal.temporary or refusal.code == "upload.busy") or waited >= PATIENCE_S:
                    raise
            else:
                self.paused = False
                return answer
            pause_s = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)] if not self.paused else 1.0
            tries, waited = tries + 1, waited + pause_s
            await asyncio.sleep(pause_s)


def _listings(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [
        {
            "path": each.path,
            "bytes": each.bytes,
            "modified": round(each.modified, 3),
            "sha256": hash_of(each),
            "failed": each.failed,
        }
        for each in found
    ]
