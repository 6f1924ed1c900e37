"""A whole server in a hurry, in a process of its own, to be killed: `python -m` this module."""

from __future__ import annotations

import asyncio
import os

from server import webhooks, webhooks_sending
from server.app import build
from server.environment import load_settings
from server.services import attached_services
from tests.patience import PATIENCE_S

LEASE_S = 600.0


def hurry(lease_s: float = LEASE_S) -> None:
    """Look and try again soon. What is answered is waited for, and what is held kept, although all starve."""
    webhooks.LEASE_S, webhooks.LOOK_S = lease_s, 0.2
    webhooks.FIRST_WAIT_S, webhooks.LONGEST_WAIT_S = 0.05, 0.2
    webhooks_sending.TIMEOUT_S = min(PATIENCE_S, lease_s / 3)


async def main() -> None:
    hurry(float(os.environ["TEST_LEASE_S"]))
    settings = load_settings()
    async with build(settings, attached_services(settings), name=f"webhooks-{os.getpid()}", alone=True):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
