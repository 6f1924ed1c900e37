"""How fast an import goes and how long it will take yet: from counts and samples, nothing else.

Work is estimated by kind: what workers spent on files of a kind so far, for a file and for a byte,
is multiplied by what remains of that kind; how many seconds of work get done in a second has been
seen, too. Where files of a kind remain of which none has been seen, all kinds stand for it, and the
range says that less is known.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from machines.import_files import UNSENT, UNSETTLED
from machines.importing_events import Pace, TimeLeft
from storage.imports import Counted

WINDOW_S = 60.0
LEAST_S = 3.0
"""Of samples, before anything is said."""
LEAST_FILES = 5
"""That came to rest, before the rest is estimated."""

_WORKED_ON = ("ready", "failed", "locked", "duplicate", "removed")
_SPREAD = 0.15
"""Of every estimate, to either side, since what comes is never quite like what went."""


@dataclass(frozen=True)
class Sample:
    """What had been done of an import at a monotonic time."""

    at: float
    bytes_here: int
    files_here: int
    settled: int
    busy_s: float


@dataclass
class _Kind:
    """What is known of one kind: seen (worked on to the end) and left."""

    seen: int = 0
    seen_bytes: int = 0
    busy_s: float = 0.0
    busy_s2: float = 0.0
    left: float = 0.0
    left_bytes: int = 0


def sample(counts: Sequence[Counted], at: float, arrived: int = 0) -> Sample:
    """The sample that these counts make; `arrived` bytes are here of files that are still being sent."""
    here = [c for c in counts if c.state not in UNSENT]
    settled = [c for c in here if c.state not in UNSETTLED]
    return Sample(
        at,
        sum(c.bytes for c in here) + arrived,
        sum(c.files for c in here),
        sum(c.files for c in settled),
        sum(c.busy_s for c in counts),
    )


def pace_of(counts: Sequence[Counted], samples: Sequence[Sample], *, ahead: int = 0) -> Pace:
    """The pace by the samples of the last minute, oldest first, of which the last is of these counts."""
    first, last = samples[0], samples[-1]
    seen_s = last.at - first.at
    if seen_s < LEAST_S:
        return Pace(ahead=ahead)
    bytes_s = (last.bytes_here - first.bytes_here) / seen_s
    files_s = (last.settled - first.settled) / seen_s
    transfer = _transfer_left(counts, first, last, seen_s)
    work = _work_left(counts, (last.busy_s - first.busy_s) / seen_s)
    if work is not None and transfer is not None:
        # They go side by side: the last file begins when it is here.
        work = TimeLeft(
            low=max(work.low, transfer.low),
            likely=max(work.likely, transfer.likely),
            high=max(work.high, transfer.high) if work.high else transfer.high,
        )
    unsent = sum(c.files for c in counts if c.state in UNSENT)
    return Pace(
        bytes_s=round(bytes_s, 1),
        files_s=round(files_s, 3),
        transfer=transfer,
        work=work if transfer is not None or not unsent else None,
        ahead=ahead,
    )


def _transfer_left(counts: Sequence[Counted], first: Sample, last: Sample, seen_s: float) -> TimeLeft | None:
    """By bytes and by files; small files are slow by number, large ones by size."""
    unsent = [c for c in counts if c.state in UNSENT]
    files = sum(c.files for c in unsent)
    if not files:
        return TimeLeft(low=0.0, likely=0.0, high=0.0)
    sent = last.files_here - first.files_here
    if last.bytes_here <= first.bytes_here:
        return None
    total = sum(c.bytes for c in unsent) + sum(c.bytes for c in counts if c.state not in UNSENT)
    by_bytes = max(0, total - last.bytes_here) / (last.bytes_here - first.bytes_here) * seen_s
    by_files = files / sent * seen_s if sent else by_bytes
    low, high = sorted((by_bytes, by_files))
    return _rounded(low * (1 - _SPREAD), (low + high) / 2, high * (1 + _SPREAD))


def _work_left(counts: Sequence[Counted], work_s: float) -> TimeLeft | None:
    """Seconds until all work is done, where `work_s` seconds of it get done in a second."""
    kinds: dict[str, _Kind] = defaultdict(_Kind)
    for c in counts:
        kind = kinds[c.kind]
        if c.state in _WORKED_ON and c.busy_s > 0:
            kind.seen += c.files
            kind.seen_bytes += c.bytes
            kind.busy_s += c.busy_s
            kind.busy_s2 += c.busy_s2
        elif c.state in UNSETTLED:
            kind.left += c.files * (0.5 if c.state == "working" else 1.0)
            kind.left_bytes += c.bytes
    left = [kind for kind in kinds.values() if kind.left]
    if not left:
        return TimeLeft(low=0.0, likely=0.0, high=0.0)
    seen = sum(kind.seen for kind in kinds.values())
    if seen < LEAST_FILES or work_s <= 0:
        return None
    mean = sum(kind.busy_s for kind in kinds.values()) / seen
    need = variance = unseen = 0.0
    for kind in left:
        part = _need(kind, mean)
        need += part
        if kind.seen < LEAST_FILES:
            unseen += part
        if kind.seen:
            own = kind.busy_s / kind.seen
            spread = max(0.0, kind.busy_s2 / kind.seen - own * own)
            # Of what is left, and of what the mean itself is not known to.
            variance += spread * kind.left * (1 + kind.left / kind.seen)
    doubt = min(0.9, _SPREAD + math.sqrt(variance) / need + 0.5 * unseen / need) if need else _SPREAD
    likely = need / work_s
    return _rounded(likely * (1 - doubt), likely, likely * (1 + doubt) / (1 - doubt / 2))


def _need(kind: _Kind, mean: float) -> float:
    """Seconds of work that is left of a kind: by files and by bytes, half each."""
    if not kind.seen:
        return mean * kind.left
    by_files = kind.busy_s / kind.seen * kind.left
    if not kind.seen_bytes:
        return by_files
    return 0.5 * by_files + 0.5 * kind.busy_s / kind.seen_bytes * kind.left_bytes


def _rounded(low: float, likely: float, high: float) -> TimeLeft:
    return TimeLeft(low=round(low, 1), likely=round(likely, 1), high=round(high, 1))
