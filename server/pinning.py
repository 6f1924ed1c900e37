"""Which processor cores each worker keeps to, where CASEWIRE_PIN asks for it.

A worker that keeps to cores of its own, or to one memory node, shares no cache with its
neighbours and starts no more threads than it has cores for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

Pin = Literal["no", "cores", "numa"]

_NODES = Path("/sys/devices/system/node")
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def can_pin() -> bool:
    """Whether this system lets processes choose their cores."""
    return hasattr(os, "sched_setaffinity")


def own_cores() -> tuple[int, ...]:
    """The cores that this process may run on, in order; numbered from 0 where the system does not say."""
    if can_pin():
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def shares(
    pin: Pin, workers: int, *, cores: Sequence[int], nodes: Mapping[int, Sequence[int]]
) -> list[tuple[int, ...]]:
    """The cores of each of so many workers; nothing for any where `pin` is `no`.

    Args:
        cores: Those there are to give.
        nodes: Memory node → its cores; nodes without any of `cores` count for nothing.

    With `cores` every worker gets cores of its own, as equally as they divide, or one that it
    shares where there are more workers than cores. With `numa` workers go to the nodes in turn,
    and each gets all cores of its node.
    """
    if pin == "no":
        return [()] * workers
    if pin == "numa":
        there = [tuple(core for core in nodes[node] if core in {*cores}) for node in sorted(nodes)]
        usable = [node for node in there if node] or [tuple(cores)]
        return [usable[worker % len(usable)] for worker in range(workers)]
    if workers > len(cores):
        return [(cores[worker % len(cores)],) for worker in range(workers)]
    edges = [round(worker * len(cores) / workers) for worker in range(workers + 1)]
    return [tuple(cores[low:high]) for low, high in pairwise(edges)]


def memory_nodes(root: Path = _NODES) -> dict[int, tuple[int, ...]]:
    """Memory node → its cores, as Linux tells; empty where it does not."""
    found = {}
    for folder in root.glob("node[0-9]*"):
        listed = folder / "cpulist"
        if listed.is_file():
            found[int(folder.name.removeprefix("node"))] = parse_cores(listed.read_text("ascii").strip())
    return found


def parse_cores(text: str) -> tuple[int, ...]:
    """The cores in a list such as `0-3,8`.

    Raises:
        ValueError: It is no such list.
    """
    cores: set[int] = set()
    for part in filter(None, text.split(",")):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if span is None:
            raise ValueError(f"{part!r} is no core and no range of cores")
        cores.update(range(int(span[1]), int(span[2] or span[1]) + 1))
    return tuple(sorted(cores))


def format_cores(cores: Sequence[int]) -> str:
    """The inverse of `parse_cores`."""
    spans: list[list[int]] = []
    for core in cores:
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def thread_settings(cores: Sequence[int]) -> dict[str, str]:
    """Environment by which numerical libraries start one thread for each core; empty for no cores."""
    return dict.fromkeys(_THREADS, str(len(cores))) if cores else {}


def keep_to(cores: Sequence[int]) -> None:
    """Keep this process, and every thread it starts from now on, to these cores."""
    os.sched_setaffinity(0, cores)
