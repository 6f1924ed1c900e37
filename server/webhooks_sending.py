"""One request to a webhook's address, and how it ended."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

import httpcore

from handlers.certificates import trusted
from server import watching
from server.webhooks_hosts import TargetRefused
from server.webhooks_signing import headers
from server.webhooks_targets import CheckedNetwork, Targets
from storage.webhook_deliveries import Attempt
from storage.webhooks import Hook

TIMEOUT_S = 10.0
AT_ONCE = 50
"""Requests of one server under way."""
_READ_BYTES = 64 * 1024
"""Of an answer's body, which nobody looks at: a short one leaves the connection usable."""
_LONGEST_WAIT_S = 86_400.0


@dataclass(frozen=True)
class Parcel:
    """What one request carries: `message` is the same in every try."""

    message: str
    content_type: str
    body: bytes
    events: int = 1


@dataclass(frozen=True)
class Sent:
    """How a request ended, and how long the receiver asks to be left alone, in seconds."""

    attempt: Attempt
    retry_after_s: float = 0.0


class Sender:
    """Connections to the hosts that the settings name; no proxy, no redirect. An async context manager."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.timeout_s = TIMEOUT_S
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=2 * AT_ONCE,
            keepalive_expiry=30.0,
            network_backend=CheckedNetwork(targets),
        )
        self._free = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def send(self, hook: Hook, parcel: Parcel) -> Sent:
        """Send once; whatever goes wrong is told in the attempt."""
        async with self._free:
            now = datetime.now(UTC)
            began = time.perf_counter()
            status, error, wait_s = await self._post(hook, parcel, now)
            took = time.perf_counter() - began
        watching.delivered(status, took)
        attempt = Attempt(parcel.message, parcel.events, status, took * 1e3, error, now)
        return Sent(attempt, wait_s)

    async def _post(self, hook: Hook, parcel: Parcel, now: datetime) -> tuple[int, str, float]:
        signed = headers(hook.secrets(now), parcel.message, int(now.timestamp()), parcel.body)
        all_headers = {"Content-Type": parcel.content_type, "User-Agent": "Casewire", **signed}
        status, wait_s = 0, 0.0
        try:
            self.targets.check(hook.url)
            async with (
                asyncio.timeout(self.timeout_s),
                self._pool.stream(
                    "POST", hook.url, headers=list(all_headers.items()), content=parcel.body
                ) as answer,
            ):
                status, wait_s = answer.status, _retry_after_s(answer.headers, now)
                read = 0
                async for block in answer.aiter_stream():
                    read += len(block)
                    if read > _READ_BYTES:
                        break
        except TargetRefused as refused:
            return 0, str(refused), 0.0
        except (TimeoutError, httpcore.TimeoutException):
            # An answer whose body is slow to come is an answer.
            return status, "" if status else f"no answer within {self.timeout_s:g} s", wait_s
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            return status, "" if status else f"{type(error).__name__}: {error}"[:300], wait_s
        return status, "", wait_s


def _retry_after_s(found: list[tuple[bytes, bytes]], now: datetime) -> float:
    text = next((value.decode("latin-1") for name, value in found if name.lower() == b"retry-after"), "")
    try:
        wait_s = float(text) if text.strip().isdigit() else _seconds_until(text, now)
    except (ValueError, TypeError):
        return 0.0
    return min(max(0.0, wait_s), _LONGEST_WAIT_S) if math.isfinite(wait_s) else 0.0


def _seconds_until(text: str, now: datetime) -> float:
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
