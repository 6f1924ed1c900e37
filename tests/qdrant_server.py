"""Qdrant for tests: a real server where TEST_QDRANT_URL names one, else the client's local mode.

`QdrantStand` puts the local mode behind the REST paths that Casewire asks, on loopback, so that addresses,
keys, broken connections and a server that stops and comes back are those of a server. It stands in for a
server where no binary can be had; how Qdrant itself searches it cannot tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from pydantic import TypeAdapter
from qdrant_client import AsyncQdrantClient, models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

VERSION = "1.16.0"
"""What the stand says it is: the oldest release that is taken."""

Answer = Callable[[AsyncQdrantClient, str, Any], Awaitable[Any]]


class QdrantStand:
    """A server that can be stopped and started again; what it holds stays.

    Args:
        key: What it asks for in the header `api-key`; "" for nothing.
    """

    def __init__(self, *, key: str = "", version: str = VERSION) -> None:
        self.client = AsyncQdrantClient(":memory:")
        self.key = key
        self.version = version
        self.asked: list[str] = []
        """Paths, with their methods."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._serving: tuple[uvicorn.Server, asyncio.Task[None]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        config = uvicorn.Config(
            Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "PUT", "POST", "DELETE"])]),
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        self._serving = server, asyncio.create_task(server.serve(sockets=[listener]))

    async def stop(self) -> None:
        if self._serving is not None:
            server, task = self._serving
            self._serving = None
            server.should_exit = True
            server.force_exit = True
            await task

    async def _answer(self, request: Request) -> Response:
        path = "/" + request.path_params["path"]
        self.asked.append(f"{request.method} {path}")
        if self.key and request.headers.get("api-key") != self.key:
            return JSONResponse({"status": {"error": "no key"}}, status_code=401)
        if path == "/":
            return JSONResponse({"title": "qdrant", "version": self.version})
        _, _, collection, *rest = path.split("/")
        told = await request.json() if await request.body() else {}
        if (
            rest != ["exists"]
            and request.method != "PUT"
            and not await self.client.collection_exists(collection)
        ):
            return JSONResponse({"status": {"error": f"no collection {collection}"}}, status_code=404)
        do = _ANSWERS[request.method, "/".join(rest)]
        result = TypeAdapter(Any).dump_python(await do(self.client, collection, told), mode="json")
        return JSONResponse({"result": result, "status": "ok", "time": 0.0})


async def _exists(client: AsyncQdrantClient, name: str, _: Any) -> Any:
    return {"exists": await client.collection_exists(name)}


async def _collection(client: AsyncQdrantClient, name: str, _: Any) -> Any:
    return await client.get_collection(name)


async def _create(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    wanted = models.CreateCollection(**told)
    return await client.create_collection(name, vectors_config=wanted.vectors)


async def _drop(client: AsyncQdrantClient, name: str, _: Any) -> Any:
    return await client.delete_collection(name)


async def _index(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    models.CreateFieldIndex(**told)
    return {"operation_id": 0, "status": "completed"}


async def _upsert(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    return await client.upsert(name, models.PointsBatch(**told).batch)


async def _delete(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    if "points" in told:
        return await client.delete(name, models.PointIdsList(**told))
    return await client.delete(name, models.FilterSelector(**told))


async def _query(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    asked = models.QueryRequest(**told)
    return await client.query_points(
        name, query=asked.query, query_filter=asked.filter, limit=asked.limit or 10, with_payload=False
    )


async def _scroll(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    asked = models.ScrollRequest(**told)
    points, after = await client.scroll(
        name,
        scroll_filter=asked.filter,
        limit=asked.limit or 10,
        offset=asked.offset,
        with_payload=bool(asked.with_payload),
    )
    return {"points": points, "next_page_offset": after}


async def _retrieve(client: AsyncQdrantClient, name: str, told: Any) -> Any:
    asked = models.PointRequest(**told)
    return await client.retrieve(
        name, asked.ids, with_payload=bool(asked.with_payload), with_vectors=bool(asked.with_vector)
    )


_ANSWERS: dict[tuple[str, str], Answer] = {
    ("GET", "exists"): _exists,
    ("GET", ""): _collection,
    ("PUT", ""): _create,
    ("DELETE", ""): _drop,
    ("PUT", "index"): _index,
    ("PUT", "points"): _upsert,
    ("POST", "points/delete"): _delete,
    ("POST", "points/query"): _query,
    ("POST", "points/scroll"): _scroll,
    ("POST", "points"): _retrieve,
}


@asynccontextmanager
async def qdrant_stand(**options: str) -> AsyncIterator[QdrantStand]:
    """A stand that serves."""
    stand = QdrantStand(**options)
    await stand.start()
    try:
        yield stand
    finally:
        await stand.stop()
        await stand.client.close()
