"""How fast an import goes and how long it will take yet: from counts and samples, nothing else.

Work is measured in what workers have spent on files so far, by kind of file: half of it is put down
to their number, half to their size. What remains, in that measure, is divided by how much of it got
done in a second lately. An error of the measure is in both, so it cancels; what does not is how evenly
work goes, which the range tells by comparing the last seconds with the last minutes; it is the wider
the less has been seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from machines.import_files import UNSENT, UNSETTLED
from machines.importing_events import Pace, TimeLeft
from storage.imports import Counted

WINDOW_S = 120.0
_SPANS_S = (15.0, 40.0, WINDOW_S)
"""Over which the speed is measured; where they differ, less is certain."""
LEAST_S = 3.0
"""Of samples, before anything is said."""
LEAST_FILES = 5
"""That were worked on to the end, before the rest is estimated."""
_WORKED_ON = ("ready", "failed", "locked", "duplicate", "removed")
_SPREAD = 0.15
"""Of every estimate, to either side, since what comes is never quite like what went."""
_UNSEEN_SPREAD = 0.5
"""Of the part that is of kinds of which few were seen."""
_WIDEST = 4.0
_GRAIN_S = 2.0
"""Below which nothing is told apart: counts are taken once a second."""


@dataclass(frozen=True)
class Part:
    """What has been worked on of one kind: files and bytes at rest, and seconds spent on what is not."""

    files: int = 0
    bytes: int = 0
    begun_s: float = 0.0


@dataclass(frozen=True)
class Sample:
    """What had been done of an import at a monotonic time."""

    at: float
    bytes_here: int
    files_here: int
    settled: int
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class _Cost:
    """What a kind takes: seconds of work for a file, and for a byte; how far files differ, in s²."""

    file_s: float
    byte_s: float
    variance: float = 0.0

    def of(self, files: float, size: float) -> float:
        return self.file_s * files + self.byte_s * size


def sample(counts: Sequence[Counted], at: float) -> Sample:
    """The sample that these counts make."""
    here = [c for c in counts if c.state not in UNSENT]
    settled = [c for c in here if c.state not in UNSETTLED]
    return Sample(
        at,
        sum(c.bytes for c in here),
        sum(c.files for c in here),
        sum(c.files for c in settled),
        {
            kind: Part(
                sum(c.files for c in settled if c.kind == kind and c.busy_s),
                sum(c.bytes for c in settled if c.kind == kind and c.busy_s),
                sum(c.busy_s for c in counts if c.kind == kind and c.state in UNSETTLED),
            )
            for kind in {c.kind for c in counts}
        },
    )


def pace_of(counts: Sequence[Counted], samples: Sequence[Sample], *, ahead: int = 0) -> Pace:
    """The pace by samples, oldest first, of which the last is of these counts."""
    first, last = samples[0], samples[-1]
    seen_s = last.at - first.at
    if seen_s < LEAST_S:
        return Pace(ahead=ahead)
    transfer, work = _transfer_left(counts, samples), _work_left(counts, samples)
    unsent = sum(c.files for c in counts if c.state in UNSENT)
    if transfer is None and unsent:
        work = None  # nobody knows when the last file will be here
    elif transfer is not None and work is not None:
        # They go side by side: the last file begins when it is here.
        work = TimeLeft(
            low=max(work.low, transfer.low),
            likely=max(work.likely, transfer.likely),
            high=max(work.high, transfer.high),
        )
    return Pace(
        bytes_s=round((last.bytes_here - first.bytes_here) / seen_s, 1),
        files_s=round((last.settled - first.settled) / seen_s, 3),
        transfer=transfer,
        work=work,
        ahead=ahead,
    )


def _transfer_left(counts: Sequence[Counted], samples: Sequence[Sample]) -> TimeLeft | None:
    """By bytes and by files; small files are slow by number, large ones by size."""
    files = sum(c.files for c in counts if c.state in UNSENT)
    if not files:
        return TimeLeft(low=0.0, likely=0.0, high=0.0)
    first, last = samples[0], samples[-1]
    seen_s, came = last.at - first.at, last.bytes_here - first.bytes_here
    if came <= 0:
        return None
    by_bytes = sum(c.bytes for c in counts if c.state in UNSENT) / came * seen_s
    sent = last.files_here - first.files_here
    by_files = files / sent * seen_s if sent > 0 else by_bytes
    low, high = sorted((by_bytes, by_files))
    return _left(low * (1 - _SPREAD), (low + high) / 2, high * (1 + _SPREAD))


def _work_left(counts: Sequence[Counted], samples: Sequence[Sample]) -> TimeLeft | None:
    """Seconds until everything that is listed has come to rest."""
    if not any(c.files for c in counts if c.state in UNSETTLED):
        return TimeLeft(low=0.0, likely=0.0, high=0.0)
    costs, few = _costs(counts)
    if not costs:
        return None
    left = unseen = variance = 0.0
    for kind, cost in costs.items():
        unsettled = [c for c in counts if c.kind == kind and c.state in UNSETTLED]
        need = cost.of(sum(c.files for c in unsettled), sum(c.bytes for c in unsettled))
        need = max(0.0, need - samples[-1].parts.get(kind, Part()).begun_s)
        left += need
        unseen += need if kind in few else 0.0
        variance += cost.variance * sum(c.files for c in unsettled)
    now = _done(samples[-1], costs)
    speeds = []
    for span_s in _SPANS_S:
        then = next(s for s in samples if samples[-1].at - s.at <= span_s)
        over_s = samples[-1].at - then.at
        if over_s >= LEAST_S and (speed := (now - _done(then, costs)) / over_s) > 0:
            speeds.append(speed)
    if not speeds:
        return None
    likely = left / (sum(speeds) / len(speeds))
    doubt = _SPREAD + samples[-1].settled ** -0.5
    if left:
        doubt += _UNSEEN_SPREAD * unseen / left + variance**0.5 / left
    low, high = left / max(speeds) / (1 + doubt), left / min(speeds) * (1 + doubt)
    low, high = max(low, likely / _WIDEST), min(high, likely * _WIDEST)
    return _left(max(0.0, low - _GRAIN_S), likely, high + _GRAIN_S)


def _costs(counts: Sequence[Counted]) -> tuple[dict[str, _Cost], set[str]]:
    """What files of each kind take, and the kinds of which few were seen; nothing while too little was."""
    # Where the last file has left a state, what rounding leaves of its seconds is of nothing.
    seen = [c for c in counts if c.state in _WORKED_ON and c.files > 0 and c.busy_s > 0]
    if sum(c.files for c in seen) < LEAST_FILES:
        return {}, set()
    every = _cost(seen)
    costs: dict[str, _Cost] = {}
    few: set[str] = set()
    for kind in {c.kind for c in counts}:
        own = [c for c in seen if c.kind == kind]
        if sum(c.files for c in own) < LEAST_FILES:
            few.add(kind)
        costs[kind] = _cost(own) if own else every
    return costs, few


def _cost(seen: Sequence[Counted]) -> _Cost:
    files, size = sum(c.files for c in seen), sum(c.bytes for c in seen)
    mean_s = sum(c.busy_s for c in seen) / files
    variance = max(0.0, sum(c.busy_s2 for c in seen) / files - mean_s**2)
    if not size:
        return _Cost(mean_s, 0.0, variance)
    return _Cost(mean_s / 2, mean_s * files / size / 2, variance)


def _done(taken: Sample, costs: Mapping[str, _Cost]) -> float:
    """Seconds of work that had been done, by what its kinds take."""
    nothing = _Cost(0.0, 0.0)
    return sum(
        costs.get(kind, nothing).of(part.files, part.bytes) + part.begun_s
        for kind, part in taken.parts.items()
    )


def _left(low: float, likely: float, high: float) -> TimeLeft:
    return TimeLeft(low=round(low, 1), likely=round(likely, 1), high=round(high, 1))
