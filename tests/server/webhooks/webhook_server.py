"""A whole server in a hurry, in a process of its own, to be killed: `python -m` this module."""

from __future__ import annotations

import asyncio
import os

from server import webhooks, webhooks_sending
from server.app import build
from server.environment import load_settings
from server.services import attached_services

LEASE_S = 1.5


def hurry() -> None:
    """Shorter times; the same order of them."""
    webhooks.LEASE_S, webhooks.LOOK_S = LEASE_S, 0.2
    webhooks.FIRST_WAIT_S, webhooks.LONGEST_WAIT_S = 0.05, 0.2
    webhooks_sending.TIMEOUT_S = 0.5


async def main() -> None:
    hurry()
    settings = load_settings()
    async with build(settings, attached_services(settings), name=f"webhooks-{os.getpid()}", alone=True):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
