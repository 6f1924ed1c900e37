"""A file from the disk to a case over the tus protocol: resumed where it broke off, in constant memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

import httpx

from server.client_topics import Refused

Progress = Callable[[int, int], None]
"""Told how many bytes are there, of how many."""

BLOCK_BYTES = 1 << 20
AT_ONCE_BYTES = 4 << 20
"""A file up to this size goes with its creation, in one request."""

TRIES = 10
"""In a row that bring nothing forward, over about two minutes."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 20.0
_TIMEOUT = httpx.Timeout(60.0, read=300.0)
"""Of one request; after the last byte the server makes all of them last a power cut, which takes a while."""

_HEADERS = {"Tus-Resumable": "1.0.0"}
_BODY = {"Content-Type": "application/offset+octet-stream"}
_AGAIN = frozenset({423, 429, 500, 502, 503, 504})
"""Statuses after which one asks where to go on, whatever the body says; that to HEAD has none."""
_ENDED = frozenset({404, 410})


class FileChanged(Exception):
    """The file was changed while it was being sent."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} changed while it was being sent; send it again once it is finished")


class _Answered(Refused):
    """A refusal with its status."""

    def __init__(self, status: int, code: str, message: str, temporary: bool) -> None:
        super().__init__(code, message, temporary)
        self.status = status


@dataclass(frozen=True)
class _Upload:
    """Where the bytes go, for which machine, and how many are there."""

    url: str
    machine: str
    offset: int


async def upload_file(
    http: httpx.AsyncClient,
    case: str,
    path: Path,
    *,
    topic: str | None = None,
    filename: str | None = None,
    parent: int = 0,
    machine: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Send a file and return its upload machine's id; its analysis goes on without this call.

    A lost connection, a restart of the server and a call that was broken off, also in another
    process, are gone on from: the server knows what this file is by its size, time and both ends.

    Args:
        http: Has the server's address, and headers or cookies by which it knows who asks.
        topic: Where the machine shall live, such as an import's topic; the case's own unless given.
        filename: What it is called there, perhaps with folders; the file's own name unless given.
        parent: Evidence that it belongs to.
        machine: An upload that was announced before and waits for its bytes.
        progress: Called after each block.

    Raises:
        Refused: The server does not take it; its code and sentence say why.
        FileChanged: The file is still being written.
        ConnectionError: The server did not answer, over about two minutes.
        OSError: The file cannot be read.
    """
    with await asyncio.to_thread(path.open, "rb") as file:
        sending = _Sending(http, case, path, file, progress)
        details = {
            "filename": filename or path.name,
            "fingerprint": sending.fingerprint,
            "parent": str(parent) if parent else "",
            "topic": topic or "",
            "machine": machine or "",
        }
        return await sending.send({key: value for key, value in details.items() if value})


class _Sending:
    def __init__(
        self,
        http: httpx.AsyncClient,
        case: str,
        path: Path,
        file: BinaryIO,
        progress: Progress | None,
    ) -> None:
        self._http = http
        self._creation = f"/api/cases/{case}/tus"
        self._path = path
        self._file = file
        self._progress = progress or (lambda done, total: None)
        self._state = os.fstat(file.fileno())
        self._size = self._state.st_size
        self._key = token_hex(16)
        self.fingerprint = self._fingerprint()

    async def send(self, details: dict[str, str]) -> str:
        upload: _Upload | None = None
        tries = 0
        while True:
            known = upload.offset if upload else -1
            try:
                if upload is None:
                    upload = await self._find(details) or await self._create(details)
                elif tries:
                    upload = await self._look(upload)
                while upload.offset < self._size:
                    upload = await self._append(upload)
                self._progress(self._size, self._size)
                return upload.machine
            except _Answered as refused:
                if refused.status in _ENDED and upload is not None:
                    upload, self._key = None, token_hex(16)
                elif not refused.temporary and refused.code != "upload.offset":
                    raise
                error: Exception = refused
            except httpx.TransportError as lost:
                error = lost
            tries = 0 if upload is not None and upload.offset > known >= 0 else tries + 1
            if tries >= TRIES:
                if isinstance(error, Refused):
                    raise error
                raise ConnectionError(
                    f"{self._http.base_url} does not answer: {error or type(error).__name__}"
                ) from error
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**tries)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))

    async def _find(self, details: dict[str, str]) -> _Upload | None:
        """One that was begun before and can be gone on with."""
        if self._size <= AT_ONCE_BYTES:
            return None
        which: dict[str, str] = {key: details[key] for key in ("fingerprint", "machine") if key in details}
        answer = await self._ask("GET", self._creation, params=which)
        encoded = _encoded(details)
        for one in answer.json():
            same = one["metadata"] == encoded and one["length"] == self._size and not one["partial"]
            if same:
                return await self._look(_Upload(one["url"], one["machine"], one["offset"]))
        return None

    async def _create(self, details: dict[str, str]) -> _Upload:
        headers = {
            "Upload-Length": str(self._size),
            "Upload-Metadata": _encoded(details),
            "Idempotency-Key": self._key,
        }
        content = None
        if 0 < self._size <= AT_ONCE_BYTES:
            headers |= _BODY | {"Content-Length": str(self._size)}
            content = self._blocks(0)
        answer = await self._ask("POST", self._creation, headers=headers, content=content)
        return _Upload(
            answer.headers["location"],
            answer.headers["casewire-machine"],
            int(answer.headers.get("upload-offset", 0)),
        )

    async def _look(self, upload: _Upload) -> _Upload:
        answer = await self._ask("HEAD", upload.url)
        return _Upload(upload.url, upload.machine, int(answer.headers["upload-offset"]))

    async def _append(self, upload: _Upload) -> _Upload:
        headers = _BODY | {
            "Upload-Offset": str(upload.offset),
            "Content-Length": str(self._size - upload.offset),
        }
        answer = await self._ask("PATCH", upload.url, headers=headers, content=self._blocks(upload.offset))
        return _Upload(upload.url, upload.machine, int(answer.headers["upload-offset"]))

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
    ) -> httpx.Response:
        answer = await self._http.request(
            method, url, headers=_HEADERS | (headers or {}), params=params, content=content, timeout=_TIMEOUT
        )
        if answer.status_code >= 400:
            raise _refusal(answer)
        return answer

    async def _blocks(self, offset: int) -> AsyncIterator[bytes]:
        while offset < self._size:
            block = await asyncio.to_thread(os.pread, self._file.fileno(), BLOCK_BYTES, offset)
            last = offset + len(block) >= self._size
            if not block or (last and self._has_changed()):
                raise FileChanged(self._path)
            block = block[: self._size - offset]
            yield block
            offset += len(block)
            self._progress(offset, self._size)

    def _has_changed(self) -> bool:
        now = os.fstat(self._file.fileno())
        return (now.st_size, now.st_mtime_ns) != (self._size, self._state.st_mtime_ns)

    def _fingerprint(self) -> str:
        """By which the server knows this file again, without all of it being read."""
        said = hashlib.sha256(f"{self._size} {self._state.st_mtime_ns}".encode())
        for offset in (0, max(0, self._size - BLOCK_BYTES)):
            said.update(os.pread(self._file.fileno(), BLOCK_BYTES, offset))
        return said.hexdigest()


def _encoded(details: dict[str, str]) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in details.items())


def _refusal(answer: httpx.Response) -> _Answered:
    status = answer.status_code
    try:
        problem = answer.json()
        code, sentence, temporary = problem["code"], problem["detail"], problem.get("temporary") is True
    except (ValueError, KeyError):
        code, sentence, temporary = f"http.{status}", answer.reason_phrase or f"status {status}", False
    return _Answered(status, code, sentence, temporary or status in _AGAIN)
