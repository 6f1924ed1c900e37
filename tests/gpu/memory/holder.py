"""A process that asks for leases; run as `python -m tests.gpu.memory.holder`, as its arguments say."""

from __future__ import annotations

import fcntl
import os
import random
import sys
import time
from pathlib import Path

from gpu.memory.lease import Leases
from gpu.memory.tickets import Board


def shared_sum(path: Path, change: int) -> int:
    """Add `change` to the number in a file under a lock of its own; the new number."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        now = int(os.pread(descriptor, 32, 0) or b"0") + change
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(now).encode(), 0)
        return now
    finally:
        os.close(descriptor)


def leases_of(folder: Path, capacity: int) -> Leases:
    """Leases of a device of which nobody ever takes what was lent, so that all of it may be lent."""
    return Leases("device", lambda: (capacity, capacity), folder=folder, reserve_bytes=0)


def hold(folder: Path, capacity: int, required: int, priority: int) -> None:
    """Print `held` once it is, then keep the lease until a line comes, or forever."""
    with leases_of(folder, capacity).lease(required, priority=priority):
        print("held", flush=True)
        sys.stdin.readline()


def hold_and_fork(folder: Path, capacity: int, required: int, priority: int) -> None:
    """As `hold`, with a forked child that outlives this process; its id is the second line."""
    with leases_of(folder, capacity).lease(required, priority=priority):
        print("held", flush=True)
        child = os.fork()
        if not child:
            time.sleep(600)
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()


def lock_and_fork(folder: Path, capacity: int, required: int, priority: int) -> None:
    """Lock the folder, fork a child that lives on, unlock it; print the child's id."""
    with Board(folder / "device").alone():
        child = os.fork()
        if not child:
            time.sleep(600)
            os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()


def contend(folder: Path, capacity: int, seed: int, rounds: int) -> None:
    """Take random leases in turn; print the largest sum of leases that was ever seen."""
    chance, leases, most = random.Random(seed), leases_of(folder, capacity), 0
    for _ in range(rounds):
        required = chance.randint(1, capacity)
        with leases.lease(required, priority=chance.randint(0, 2), deadline_s=600):
            most = max(most, shared_sum(folder / "sum", required))
            time.sleep(chance.random() * 0.004)
            shared_sum(folder / "sum", -required)
    print(most, flush=True)


if __name__ == "__main__":
    does = {"hold": hold, "hold_and_fork": hold_and_fork, "lock_and_fork": lock_and_fork, "contend": contend}
    does[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
