"""Text frames that arrive: what they ask, or why they are no requests."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from server.bodies import refuse_nul
from server.errors import Invalid, TooLarge
from server.messages import REQUEST, Ping, Send, Spawn, Subscribe, Unsubscribe

FRAME_BYTES = 256 * 1024

AnyRequest = Subscribe | Unsubscribe | Spawn | Send | Ping


def request_in(frame: str | bytes) -> AnyRequest:
    """The request of a frame.

    Raises:
        Invalid: It holds none.
    """
    if isinstance(frame, bytes):
        raise Invalid("frames must be text", code="frame.not_text")
    if len(frame) > FRAME_BYTES or len(frame.encode()) > FRAME_BYTES:
        raise TooLarge(f"a frame holds at most {FRAME_BYTES} bytes", code="frame.too_large")
    try:
        request = REQUEST.validate_json(frame)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        code = "frame.not_json" if fault["type"] == "json_invalid" else "frame.invalid"
        raise Invalid(str(Invalid.of(error)), code=code) from error
    if isinstance(request, (Spawn, Send)):
        refuse_nul(request.data)
    return request


def id_in(frame: str | bytes) -> int | str | None:
    """The id of a frame that is not a request, so that its sender knows which one was meant."""
    if isinstance(frame, bytes) or len(frame) > FRAME_BYTES:
        return None
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, (int, str)) and not isinstance(found, bool) else None
