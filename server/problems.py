"""Every HTTP error as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from server.faults import ANSWERS, Fault, fault_of

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


def problem(fault: Fault) -> Response:
    """The response that tells of a fault."""
    body: dict[str, Any] = {
        "type": f"urn:casewire:problem:{fault.code}",
        "title": fault.title,
        "status": fault.status,
        "detail": fault.detail,
        "code": fault.code,
        "temporary": fault.temporary,
    }
    if fault.allowed is not None:
        body["allowed"] = fault.allowed
    if fault.current is not None:
        body["current"] = fault.current
    headers = dict(fault.headers or {}) | {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), fault.status, headers, MEDIA_TYPE)


async def answer(request: Request, error: Exception) -> Response:
    """Tell the client; log what the client cannot mend."""
    fault = fault_of(error)
    if not fault.expected:
        logger.error(
            "A request failed.",
            exc_info=error if fault.status == 500 else None,
            extra={
                "action": "http.failed",
                "method": request.method,
                "path": request.url.path,
                "code": fault.code,
            },
        )
    return problem(fault)


def handlers() -> dict[Any, ExceptionHandler]:
    """For Starlette: each family of the table, routing errors, and whatever is unexpected."""
    # Of `DBAPIError` some are outages. What only `Exception` covers would be raised again by Starlette.
    families: list[type[Exception]] = [*ANSWERS, DBAPIError, HTTPException, Exception]
    return dict.fromkeys(families, answer)
