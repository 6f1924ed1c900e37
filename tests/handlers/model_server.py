"""A server on loopback that speaks the documented interfaces of Ollama, OpenAI and llama.cpp's server.

It answers as they do, byte by byte of the protocol: newline-delimited JSON, server-sent events, errors
in either form, counts of tokens; and it can be told to fail in every way in which they fail. What it
writes is fixed (`pieces`) or, where a schema is given, the smallest instance of it. It remembers the
prompts of each slot, so that its counts of what was cached are those of a server with a prefix cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass
class ModelServerApp:
    """What the server answers.

    Attributes:
        pieces: What it writes without a schema.
        instances: What it writes with a schema, one after the other; then the smallest instance.
        status: Other than 200 refuses every request.
        breaks_off: A stream ends before its last part.
        fails_midway: A stream ends with an error.
        pause_s: Before each piece.
        refused_field: A field that it does not know (OpenAI's interface).
        slots: Of llama.cpp's `/props`; 0: it is another server.
        slot_ctx: Tokens of each of them.
        loading: So many requests of chats are refused while the model is loaded, and `/props` with them.
        cuts_short: An answer ends for want of room.
        dimensions: Of its vectors.
        pieces_known: The vocabulary of its embedding model.
        context: Tokens that a prompt may have, whatever is asked for; 0: any number.
        tells_cached: Whether its counts say what came from the cache.
    """

    pieces: Sequence[str] = ("Ada ", "signed ", "[1].")
    instances: list[str] = field(default_factory=list)
    status: int = 200
    breaks_off: bool = False
    fails_midway: bool = False
    pause_s: float = 0.0
    refused_field: str = ""
    slots: int = 0
    slot_ctx: int = 65536
    loading: int = 0
    cuts_short: bool = False
    dimensions: int = 24
    pieces_known: tuple[str, ...] = ("[CLS]", "▁Gate", "▁gate")
    context: int = 0
    tells_cached: bool = True
    key: str = ""
    models: tuple[str, ...] = ("tiny", "tiny-embed")
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[int, list[str]] = field(default_factory=dict)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/chat", self.chat, methods=["POST"]),
                Route("/api/embed", self.embed, methods=["POST"]),
                Route("/api/show", self.show, methods=["POST"]),
                Route("/api/tags", self.tags),
                Route("/v1/models", self.list_models),
                Route("/v1/chat/completions", self.completions, methods=["POST"]),
                Route("/props", self.props),
            ]
        )

    async def chat(self, request: Request) -> Response:
        body = await self._note(request)
        if self.status != 200 or body["model"] not in self.models:
            status = self.status if self.status != 200 else 404
            return JSONResponse({"error": f"model '{body['model']}' not found"}, status)
        if self.context and _count(body["messages"]) > self.context and not body.get("truncate", True):
            return JSONResponse({"error": "the input length exceeds the context length"}, 400)
        prompt, cached = self._evaluate(body["messages"], 0)
        pieces = self._written(body.get("format"))[: body["options"].get("num_predict")]
        last = {
            "model": body["model"],
            "done": True,
            "done_reason": "length" if self.cuts_short else "stop",
            "prompt_eval_count": prompt,
            "eval_count": len(pieces),
            **({"prompt_eval_cached_count": cached} if self.tells_cached else {}),
        }
        if not body.get("stream", True):
            return JSONResponse(last | {"message": {"role": "assistant", "content": "".join(pieces)}})

        async def lines() -> AsyncIterator[bytes]:
            for piece in pieces:
                await asyncio.sleep(self.pause_s)
                part = {
                    "model": body["model"],
                    "message": {"role": "assistant", "content": piece},
                    "done": False,
                }
                yield json.dumps(part).encode() + b"\n"
            if self.fails_midway:
                yield (
                    json.dumps({"error": "an error was encountered while running the model"}).encode() + b"\n"
                )
            elif not self.breaks_off:
                yield json.dumps(last | {"message": {"role": "assistant", "content": ""}}).encode() + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def completions(self, request: Request) -> Response:
        body = await self._note(request)
        if not self._has_key(request):
            return _refused(401, "Incorrect API key provided", "invalid_request_error")
        if self.status != 200:
            return _refused(self.status, "The server is overloaded", "server_error")
        if self.loading:
            self.loading -= 1
            return _refused(503, "Loading model", "unavailable_error")
        if body["model"] not in self.models:
            return _refused(404, f"model '{body['model']}' not found", "not_found_error")
        if self.refused_field in body:
            return _refused(
                400, f"Unknown parameter: '{self.refused_field}'", "invalid_request_error", self.refused_field
            )
        if self.context and _count(body["messages"]) > self.context:
            message = "the request exceeds the available context size, try increasing it"
            return _refused(400, message, "exceed_context_size_error")
        prompt, cached = self._evaluate(body["messages"], int(body.get("id_slot", 0)))
        form = body.get("response_format")
        schema = form["json_schema"]["schema"] if form else None
        pieces = self._written(schema)[: body.get("max_tokens")]
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": len(pieces),
            "total_tokens": prompt + len(pieces),
        }
        if self.tells_cached:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(pieces)},
                "finish_reason": "stop",
            }
            return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": usage})

        async def events() -> AsyncIterator[bytes]:
            def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
                part = head | {"object": "chat.completion.chunk", "choices": choices} | more
                return b"data: " + json.dumps(part).encode() + b"\n\n"

            yield b": keep-alive\n\n"
            yield event(
                [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]
            )
            if body.get("return_progress"):
                yield event([], prompt_progress={"total": prompt, "cache": cached, "processed": prompt})
            for piece in pieces:
                await asyncio.sleep(self.pause_s)
                yield event([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            if self.fails_midway:
                yield b'data: {"error": {"message": "the model crashed", "type": "server_error"}}\n\n'
            elif not self.breaks_off:
                reason = "length" if self.cuts_short else "stop"
                yield event([{"index": 0, "delta": {}, "finish_reason": reason}])
                if (body.get("stream_options") or {}).get("include_usage"):
                    yield event([], usage=usage)
                yield b"data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def embed(self, request: Request) -> Response:
        body = await self._note(request)
        if self.status != 200 or body["model"] not in self.models:
            status = self.status if self.status != 200 else 404
            return JSONResponse({"error": f"model '{body['model']}' not found, try pulling it first"}, status)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        return JSONResponse(
            {"model": body["model"], "embeddings": [_vector(text, self.dimensions) for text in texts]}
        )

    async def show(self, request: Request) -> Response:
        body = await self._note(request)
        if self.status != 200 or body["model"] not in self.models:
            status = self.status if self.status != 200 else 404
            return JSONResponse({"error": f"model '{body['model']}' not found"}, status)
        pieces = list(self.pieces_known) if body.get("verbose") else None
        facts = {"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": pieces}
        return JSONResponse({"details": {"format": "gguf"}, "model_info": facts})

    async def tags(self, request: Request) -> Response:
        return JSONResponse({"models": [{"name": f"{name}:latest", "model": name} for name in self.models]})

    async def list_models(self, request: Request) -> Response:
        if not self._has_key(request):
            return _refused(401, "Invalid API Key", "authentication_error")
        if self.slots:  # llama.cpp's server has one model, under any number of names
            aliases = list(self.models[1:])
            return JSONResponse({"object": "list", "data": [{"id": self.models[0], "aliases": aliases}]})
        return JSONResponse(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        )

    async def props(self, request: Request) -> Response:
        if not self.slots:
            return Response(status_code=404)
        if not self._has_key(request):
            return _refused(401, "Invalid API Key", "authentication_error")
        if self.loading:
            return _refused(503, "Loading model", "unavailable_error")
        settings = {"n_ctx": self.slot_ctx, "params": {}}
        return JSONResponse({"total_slots": self.slots, "default_generation_settings": settings})

    def _has_key(self, request: Request) -> bool:
        return not self.key or request.headers.get("authorization") == f"Bearer {self.key}"

    async def _note(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.requests.append({"path": request.url.path, **body})
        return body

    def _evaluate(self, messages: Sequence[dict[str, str]], slot: int) -> tuple[int, int]:
        """Tokens (here: words) of the prompt, and how many of them the slot had evaluated last."""
        words = [word for message in messages for word in (message["role"], *message["content"].split())]
        before, same = self.seen.get(slot, []), 0
        while same < min(len(before), len(words)) and before[same] == words[same]:
            same += 1
        self.seen[slot] = words
        return len(words), min(same, len(words) - 1)

    def _written(self, schema: dict[str, Any] | None) -> list[str]:
        if schema is None:
            return list(self.pieces)
        text = self.instances.pop(0) if self.instances else json.dumps(_smallest(schema, schema))
        return [text[i : i + 16] for i in range(0, len(text), 16)]


def _count(messages: Sequence[dict[str, str]]) -> int:
    return sum(1 + len(message["content"].split()) for message in messages)


def _refused(status: int, message: str, kind: str, param: str | None = None) -> Response:
    error = {"message": message, "type": kind, "param": param, "code": None}
    return JSONResponse({"error": error}, status)


def _smallest(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """An instance of a schema with as little in it as it allows."""
    if "$ref" in schema:
        return _smallest(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _smallest(schema["properties"][name], root) for name in schema.get("required", ())}
        case "array":
            return []
        case "string":
            return ""
        case "boolean":
            return False
    return 0


def _vector(text: str, dimensions: int) -> list[float]:
    """Unlike another text's, the same each time, and not of length 1."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return [float(value) for value in np.random.default_rng(seed).normal(size=dimensions)]


@asynccontextmanager
async def serving(server: ModelServerApp) -> AsyncIterator[ModelServerApp]:
    """Serve on a free port of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        running = uvicorn.Server(uvicorn.Config(server.app(), log_config=None, lifespan="off"))
        running.config.load()
        running.lifespan = running.config.lifespan_class(running.config)
        await running.startup([listener])
        try:
            yield server
        finally:
            running.force_exit = True
            await running.shutdown([listener])
