"""A hand-written tus client, which sends exactly what a test wants."""

from __future__ import annotations

import base64
from typing import Any

import httpx

from tests.server.live import Person

BODY = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    """`Upload-Metadata`."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


async def ask(
    person: Person, method: str, url: str, *, content: Any = None, **headers: str
) -> httpx.Response:
    """One request; `upload_length="5"` becomes the header `Upload-Length`, `no="…"` leaves one out."""
    given = {"tus-resumable": "1.0.0"} | {key.replace("_", "-"): value for key, value in headers.items()}
    given = {key: value for key, value in given.items() if value != "-"}
    if content is not None:
        given.setdefault("content-type", BODY["Content-Type"])
    return await person.call(method, url, headers=given, content=content)


async def create(person: Person, case: dict[str, Any], **headers: Any) -> httpx.Response:
    headers.setdefault("upload_metadata", metadata(filename="a.txt"))
    return await ask(person, "POST", f"/api/cases/{case['id']}/tus", **headers)


async def begun(person: Person, case: dict[str, Any], **headers: Any) -> tuple[str, str]:
    """Address and machine of a new upload."""
    answer = await create(person, case, **headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"], answer.headers.get("casewire-machine", "")


async def patch(person: Person, url: str, offset: int, content: Any, **headers: str) -> httpx.Response:
    return await ask(person, "PATCH", url, content=content, upload_offset=str(offset), **headers)


async def head(person: Person, url: str) -> httpx.Response:
    return await ask(person, "HEAD", url)


async def offset_of(person: Person, url: str) -> int:
    return int((await head(person, url)).headers["upload-offset"])
