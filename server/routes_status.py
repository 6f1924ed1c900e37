"""Whether the server is alive, and what runs where."""

from __future__ import annotations

import asyncio
import os

import psutil
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth import require_visitor
from server.bodies import Json
from server.parts import parts_of
from server.status import gather_status


async def healthz(request: Request) -> Response:
    """This process answers; its memory and that of what it started."""
    return Json({"ok": True, "processes": await asyncio.to_thread(_processes)})


async def status(request: Request) -> Response:
    """Services, backends, queues and workers, for whoever is logged in."""
    await require_visitor(request)
    parts = parts_of(request)
    return Json(await gather_status(parts.settings, parts.services))


def _processes() -> list[dict[str, object]]:
    own = psutil.Process(os.getpid())
    family = [("server", own), *((child.name(), child) for child in own.children(recursive=True))]
    found: list[dict[str, object]] = []
    for name, process in family:
        try:
            found.append({"name": name, "pid": process.pid, "rss_bytes": process.memory_info().rss})
        except psutil.NoSuchProcess:
            continue  # it has ended since it was listed
    return found


routes = [
    Route("/healthz", healthz, methods=["GET"]),
    Route("/api/status", status, methods=["GET"]),
]
