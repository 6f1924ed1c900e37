"""The browser's client: hashed assets that never change, and one page for every other path."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from server.errors import Missing
from server.faults import Fault
from server.problems import problem

CLIENT = Path(__file__).resolve().parent.parent / "web" / "dist"

_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"

_NOT_BUILT = Fault(
    503,
    "client.not_built",
    "the browser's client is not built: run `make web`; the API works without it",
    temporary=False,
)


async def page(request: Request) -> Response:
    """A file of the client, or its one page, which finds its way by the path."""
    path = request.path_params.get("path", "")
    if path.partition("/")[0] in ("api", "ws", "streams", "healthz", "metrics"):
        raise Missing("there is no such resource")
    if "." in path.rpartition("/")[2]:
        return FileResponse(_file(path), headers={"Cache-Control": _age(path)})
    index = CLIENT / "index.html"
    if not index.is_file():
        return problem(_NOT_BUILT)
    return FileResponse(index, headers={"Cache-Control": _ASK_AGAIN})


def _file(path: str) -> Path:
    if "\0" in path:  # `resolve` fails on it
        raise Missing("there is no such file")
    file = (CLIENT / path).resolve()
    if not file.is_relative_to(CLIENT) or not file.is_file():
        raise Missing("there is no such file")
    return file


def _age(path: str) -> str:
    # The build puts a hash of the content into the names of these files and no others.
    return _FOR_EVER if path.startswith("assets/") else _ASK_AGAIN


routes = [Route("/", page, methods=["GET"]), Route("/{path:path}", page, methods=["GET"])]
