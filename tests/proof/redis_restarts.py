"""Restart Redis every 5 to 40 seconds under load, by SIGKILL and SIGTERM, then look for what is wrong.

python -m tests.proof.redis_restarts --minutes 15 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import time

import psutil

from tests.proof.instance import Instance
from tests.proof.load import Load
from tests.proof.run import Outcome, progress, prove


class Restarter:
    """Ends Redis again and again; its owner starts it.

    Args:
        every_s: Least and longest time between two ends.
    """

    def __init__(self, *, seconds: float, seed: int, every_s: tuple[float, float] = (5.0, 40.0)) -> None:
        self._seconds = seconds
        self._random = random.Random(seed)
        self._every_s = every_s

    async def __call__(self, instance: Instance, load: Load, outcome: Outcome) -> None:
        """The attack."""
        until = time.monotonic() + self._seconds
        while True:
            pause_s = self._random.uniform(*self._every_s)
            sign = self._random.choice((signal.SIGKILL, signal.SIGTERM))
            if time.monotonic() + pause_s > until:
                return
            await asyncio.sleep(pause_s)
            for process in (await asyncio.to_thread(instance.victims)).get("redis", []):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(sign)
                    outcome.kills[f"Redis by {sign.name}"] += 1
            progress(load, f"{outcome.kills.total()} restarts")


def main() -> None:
    """Run the proof, print its table, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.redis_restarts", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--machines", type=int, default=100, help="at work from the beginning")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--floor", type=int, default=40, help="machines kept at work until the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the data folder although all is well")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the instance ends, too
    outcome = asyncio.run(
        prove(
            Restarter(seconds=options.minutes * 60, seed=options.seed),
            people=options.people,
            machines=options.machines,
            floor=options.floor,
            seed=options.seed,
            keep=options.keep,
        )
    )
    sys.exit(outcome.report())


if __name__ == "__main__":
    main()
