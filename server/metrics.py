"""What this process counts: sums in a plain dictionary, and what each of them means.

The hot path adds to a dictionary, which takes a fraction of a microsecond. Once a second the
process adds what is new to the instance's sums in Redis (`storage.metric_sums`), so that whichever
server is asked answers for all servers and workers, for those that have ended, too.

A label is never an id, a topic, or anything that people write.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

Series = tuple[str, ...]
"""Name of the metric, values of its labels, and for a histogram its bucket."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)
"""Upper bounds in seconds; one more bucket holds the rest."""
SUM = "sum"
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


@dataclass(frozen=True)
class Counter:
    """A sum that only grows."""

    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """How long something took, in seconds."""

    help: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Counter | Histogram] = {
    "casewire_transitions": Counter("Events that were applied to machines.", ("kind", "event")),
    "casewire_refused": Counter("Events that were refused, by the code of the refusal.", ("code",)),
    "casewire_conflicts": Counter("Commits that another process forestalled.", ("kind",)),
    "casewire_commit_seconds": Histogram("One commit, the wait for a connection included."),
    "casewire_pushed": Counter("Messages handed to subscribers, one for each subscriber.", ("type",)),
    "casewire_socket_closes": Counter("Websockets that have ended, by the name of the close code.", ("why",)),
    "casewire_http_requests": Counter("Requests by route, never by path.", ("method", "route", "status")),
    "casewire_http_request_seconds": Histogram("From the request to the end of the response.", ("route",)),
    "casewire_webhook_requests": Counter("Requests to webhooks, by how they ended.", ("result",)),
    "casewire_webhook_seconds": Histogram("One request to a webhook."),
    "casewire_jobs": Counter("Jobs that have ended in a worker, and how.", ("effect", "result")),
    "casewire_job_seconds": Histogram("One job in its worker.", ("effect",)),
    "casewire_follower_marks_done": Counter(
        "Changes that a store beside PostgreSQL has taken.", ("follower",)
    ),
    "casewire_follower_failures": Counter("Rounds in which such a store could not be used.", ("follower",)),
    "casewire_embedding_lookups": Counter(
        "Vectors of questions and sentences, by whence they came: memory, redis, or made.", ("result",)
    ),
    "casewire_model_tokens": Counter(
        "Tokens of language models: evaluated, cached and written; prompt where the server tells no more.",
        ("type",),
    ),
    "casewire_timer_late_seconds": Histogram("By how much a timer fired after it was due."),
}


class Tally:
    """Sums since the process began. Only the thread that counts adds; any may read."""

    def __init__(self) -> None:
        self.sums: dict[Series, float] = {}
        self._reported: dict[Series, float] = {}
        self._told = self._reported

    def count(self, *series: str, by: float = 1.0) -> None:
        """Add to a counter."""
        sums = self.sums
        sums[series] = sums.get(series, 0.0) + by

    def observe(self, seconds: float, *series: str) -> None:
        """Add to a histogram."""
        self.timing(*series)(seconds)

    def timing(self, *series: str) -> Callable[[float], None]:
        """What adds to one histogram, made once where it is called often."""
        sums = self.sums
        buckets = [(*series, bound) for bound in _BOUNDS]
        total = (*series, SUM)

        def add(seconds: float) -> None:
            bucket = buckets[bisect_left(BUCKETS, seconds)]
            sums[bucket] = sums.get(bucket, 0.0) + 1.0
            sums[total] = sums.get(total, 0.0) + seconds

        return add

    def unreported(self) -> dict[Series, float]:
        """What is new since the last time that `reported` was told."""
        self._told = self.sums.copy()
        before = self._reported
        return {s: value - before.get(s, 0.0) for s, value in self._told.items() if value != before.get(s)}

    def reported(self) -> None:
        """What `unreported` gave last has been taken in."""
        self._reported = self._told


tally = Tally()
"""Of this process."""


def bucket_bounds() -> tuple[str, ...]:
    """The upper bounds as they stand in series, the last one `+Inf`."""
    return _BOUNDS
