"""Pages of long lists: a cursor names the last row of a page, a `Link` header leads to the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request

from server.errors import Invalid


def cursor_of(*values: str | int | float) -> str:
    """Text, safe in an address, that stands for the values by which a list is ordered."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def values_of(cursor: str, *types: type) -> tuple[Any, ...]:
    """The values of a cursor, which must be of these types.

    Raises:
        Invalid: It is not a cursor of such a list.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise Invalid("this is no cursor of this list") from error
    fits = isinstance(values, list) and [type(value) for value in values] == list(types)
    if not fits or any(isinstance(value, str) and "\0" in value for value in values):
        raise Invalid("this is no cursor of this list")
    return tuple(values)


def next_page(request: Request, parameter: str, cursor: str | None) -> dict[str, str]:
    """The header that leads to the next page (RFC 8288); none on the last page."""
    if cursor is None:
        return {}
    url = request.url.include_query_params(**{parameter: cursor})
    return {"Link": f'<{url.path}?{url.query}>; rel="next"'}


def page_of(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], bool]:
    """The rows of a page, of which one more than `limit` was asked for, and whether another follows."""
    return rows[:limit], len(rows) > limit
