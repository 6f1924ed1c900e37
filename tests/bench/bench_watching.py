"""What counting and tracing cost a transition: our sums beside prometheus_client's own objects.

Run by `python -m tests.bench.bench_watching`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from machines.step import Incoming, spawn
from server import tracing, watching
from storage import trace
from storage.machine_store import Committed

ROUNDS = 15
CALLS = 20_000


def main() -> None:
    """Print the table."""
    done = spawn("case", "case-0-a", "case:c", Incoming("spawn", {"title": "A"}, "handler", 1.0))
    committed = Committed(1, 1, ["open"], repeated=False)
    registry = CollectorRegistry()
    transitions = Counter("transitions", "Peer.", ["kind", "event"], registry=registry)
    commits = Histogram("commit_seconds", "Peer.", registry=registry)
    traceparent = trace.fresh()
    trace.current.set(traceparent)

    def transition() -> None:
        with watching.event("case-0-a", "spawn", "client"):
            began = time.perf_counter()
            with watching.commit():
                pass
            watching.committed(done, committed, began)

    def counting() -> None:
        watching.committed(done, committed, time.perf_counter())

    def peer() -> None:
        began = time.perf_counter()
        commits.observe(time.perf_counter() - began)
        transitions.labels("case", "spawn").inc()

    def pushing() -> None:
        watching.pushed({"type": "entry"}, 3)

    def request() -> None:
        with tracing.entering(traceparent):
            pass

    work: dict[str, Callable[[], None]] = {
        "one transition: counts, latency, trace without a collector": transition,
        "of that, counts and latency": counting,
        "counts and latency by prometheus_client": peer,
        "one push, for all its subscribers": pushing,
        "one request: take over its trace": request,
    }
    best = dict.fromkeys(work, float("inf"))
    for _ in range(ROUNDS):
        for name, call in work.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[name] = min(best[name], (time.perf_counter() - began) / CALLS)
    print("| what watching costs | µs |")
    print("|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds * 1e6:.2f} |")


if __name__ == "__main__":
    main()
