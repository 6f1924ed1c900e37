"""Whether the server is alive, and what runs where."""

from __future__ import annotations

import os
import secrets

import psutil
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth import require_admin, require_visitor
from server.bodies import Json
from server.metrics_page import render
from server.operations import operation
from server.parts import parts_of
from server.status import gather_status
from server.status_view import Health, StatusView


@operation("public", answer=Health)
async def healthz(request: Request) -> Response:
    """This process answers."""
    return Json({"ok": True})


@operation("login", answer=StatusView)
async def status(request: Request) -> Response:
    """Services, backends, queues, workers and this server, for whoever is logged in.

    What is being done, and what was given up, names machines of any case: administrators alone see it.
    """
    visitor = await require_visitor(request)
    parts = parts_of(request)
    found = await gather_status(parts.settings, parts.services, parts.census)
    if not visitor.administers:
        workers = [worker | {"effect": "", "machine": ""} for worker in found["workers"]]
        found = found | {"workers": workers, "given_up": []}
    own = psutil.Process(os.getpid())
    return Json(found | {"server": {"pid": own.pid, "rss_bytes": own.memory_info().rss}})


@operation("admin", answer=str, media="text/plain")
async def metrics(request: Request) -> Response:
    """What Prometheus reads, for administrators and whoever has the scrape token."""
    parts = parts_of(request)
    token, given = parts.settings.metrics_token, request.headers.get("authorization", "")
    if token is None or not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
        await require_admin(request)
    page, media_type = await render(parts, request.headers.get("accept", ""))
    return Response(page, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


routes = [
    Route("/healthz", healthz, methods=["GET"]),
    Route("/api/status", status, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
