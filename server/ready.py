"""uvicorn's HTTP connection, where bytes that were answered a moment ago are answered without being parsed.

Of what uvicorn does for a small answer, its parser, its task and its request's state are most. Everything
but a repeated request on a quiet connection is uvicorn's.
"""

from __future__ import annotations

import time
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.repeats import HEAD, HEAD_BYTES, Repeats


class ReadyLine(HttpToolsProtocol):
    """One connection.

    Args:
        repeats: What may be answered at once.
    """

    def __init__(self, repeats: Repeats, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._repeats = repeats
        self._between = True
        self._answered_at = 0.0

    def data_received(self, data: bytes) -> None:
        """See uvicorn; answer at once what is known."""
        if not self._between or len(data) > HEAD_BYTES:
            super().data_received(data)
            return
        repeat = self._repeats.known.get(data)
        if repeat is not None and self._is_quiet():
            began = time.monotonic()
            if began < repeat.belief.until:
                self.transport.write(repeat.answer.whole(self.server_state.default_headers))
                self.server_state.total_requests += 1
                if self.timeout_keep_alive_task is None:
                    self._close_later(self.timeout_keep_alive)
                self._answered_at = time.monotonic()
                repeat.answer.count(self._answered_at - began)
                return
        before = self.scope
        super().data_received(data)
        scope = cast(dict[str, Any], self.scope)
        if scope is not before and scope.get("path") in self._repeats.paths:
            scope["extensions"] = {HEAD: data}

    def _is_quiet(self) -> bool:
        """Whether nothing is being answered, and what is written is read."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self.flow.write_paused

    def on_message_begin(self) -> None:
        """See uvicorn."""
        self._between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """See uvicorn."""
        super().on_message_complete()
        self._between = True

    def timeout_keep_alive_handler(self) -> None:
        """See uvicorn; repeats do not set the timer anew, so it may be early."""
        left = self._answered_at + self.timeout_keep_alive - time.monotonic()
        if left > 0:
            self._close_later(left)
        else:
            super().timeout_keep_alive_handler()

    def _close_later(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(after_s, self.timeout_keep_alive_handler)
