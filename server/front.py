"""Answers that are the same for everybody who may have them, given again before any route is looked for.

What is kept is what the ordinary way answered, to the byte. Whoever was given such an answer a moment
ago is believed to be the same for a second, or until something is announced about that person; all
others, and every refusal, go the ordinary way. A request that repeats such a one to the byte does not
even come here (`ready`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from machines.step import CHARTS
from server.parts import Parts
from server.repeats import Answer, Belief, Repeats
from server.rights import KNOWN_S, Watcher
from server.routes_charts import ENDINGS
from server.watching import route_of

PUBLIC = ("/healthz", "/api/openapi.json", "/api/asyncapi.json")
FOR_VISITORS = (
    "/api/charts",
    *(f"/api/charts/{kind}.{suffix}" for kind in sorted(CHARTS) for suffix in ENDINGS),
)
"""Paths whose answers do not change while the process runs; without a query."""


@dataclass
class _Kept:
    """One path: whom it is for, and once somebody has asked, what was answered and by which route."""

    public: bool
    messages: list[Message] = field(default_factory=list)
    answer: Answer | None = None
    route: BaseRoute | None = None


class Front:
    """ASGI application before the application.

    Attributes:
        repeats: Requests that it answered a moment ago.
    """

    def __init__(
        self, app: ASGIApp, *, public: Iterable[str] = PUBLIC, for_visitors: Iterable[str] = FOR_VISITORS
    ) -> None:
        self._app = app
        self._kept = {path: _Kept(public=True) for path in public}
        self._kept |= {path: _Kept(public=False) for path in for_visitors}
        self.repeats = Repeats(self._kept)
        self._believed: dict[bytes, Belief] = {}
        self._of: dict[str, tuple[Watcher, set[bytes]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or have the application answer and keep it."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        kept = self._kept.get(scope["path"])
        if kept is None:
            await self._app(scope, receive, send)
            return
        proof = b"" if kept.public else _proof(scope)
        belief = _anybody() if kept.public else self._believed.get(proof)
        if kept.answer is None or belief is None or time.monotonic() >= belief.until:
            await self._ask(kept, proof, scope, receive, send)
            return
        scope["route"] = kept.route  # by which requests are counted
        for message in kept.messages:
            await send(message)
        self.repeats.learn(scope, kept.answer, belief)

    async def _ask(self, kept: _Kept, proof: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        parts: Parts = scope["state"]["parts"]
        asked, changes = time.monotonic(), parts.rights.changes
        messages: list[Message] = []

        async def noting(message: Message) -> None:
            messages.append(message)
            await send(message)

        await self._app(scope, receive, noting)
        if not messages or messages[0].get("status") != 200:
            return
        if kept.answer is None:
            kept.messages, kept.route = messages, scope["route"]
            kept.answer = Answer(messages, route_of(scope))
        if kept.public:
            self.repeats.learn(scope, kept.answer, _anybody())
            return
        visitor = scope["state"].get("visitor")
        # What was announced meanwhile may have been about this person.
        if visitor is not None and parts.rights.changes == changes:
            self._forget_old(parts)
            belief = Belief(visitor.person.id, asked + KNOWN_S)
            self._believe(parts, proof, belief)
            self.repeats.learn(scope, kept.answer, belief)

    def _believe(self, parts: Parts, proof: bytes, believed: Belief) -> None:
        self._drop(parts, proof)
        self._believed[proof] = believed
        user = believed.user
        if user not in self._of:
            watcher = partial(self._forget, parts, user)
            self._of[user] = (watcher, set())
            parts.rights.watch(user, watcher)
        self._of[user][1].add(proof)

    def _forget_old(self, parts: Parts) -> None:
        now = time.monotonic()
        while self._believed:
            proof = next(iter(self._believed))
            if self._believed[proof].until > now:
                return
            self._drop(parts, proof)

    def _drop(self, parts: Parts, proof: bytes) -> None:
        found = self._believed.pop(proof, None)
        if found is None:
            return
        found.until = 0.0
        watcher, proofs = self._of[found.user]
        proofs.discard(proof)
        if not proofs:
            del self._of[found.user]
            parts.rights.unwatch(found.user, watcher)

    def _forget(self, parts: Parts, user: str) -> None:
        """Believe nothing of a person any more."""
        for proof in tuple(self._of[user][1]):
            self._drop(parts, proof)


def _anybody() -> Belief:
    """What is public may be repeated as long as what is not."""
    return Belief("", time.monotonic() + KNOWN_S)


def _proof(scope: Scope) -> bytes:
    """What a request says about who sends it."""
    return b"\n".join(
        name + b":" + value for name, value in scope["headers"] if name in (b"cookie", b"authorization")
    )
