"""Which device the kernels run on, with the memory that this process may still take there."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpu.memory.cuda import cuda_memory, device_name

_UNLIMITED = 1 << 60
"""Control groups write a number near 2⁶³ where there is no limit."""


@dataclass(frozen=True)
class Device:
    """A device as a user reads about it; memory in bytes.

    `why_cpu` says why no GPU is used, and is empty where one is. `measured_by` says what told the memory.
    """

    kind: Literal["cpu", "cuda"]
    name: str
    memory_free_bytes: int
    memory_total_bytes: int
    why_cpu: str
    measured_by: str


def describe() -> Device:
    """Return the GPU that kernels would use, else the CPU within its control group's limits."""
    problem = cuda_problem()
    if problem:
        free, total = _cpu_memory(Path("/"))
        return Device("cpu", _cpu_name(), free, total, problem, "the system and its control groups")
    free, total, measured_by = cuda_memory()
    return Device("cuda", device_name(), free, total, "", measured_by)


def main_memory() -> tuple[int, int]:
    """Free and total bytes of main memory, within the limits of this process's control group."""
    return _cpu_memory(Path("/"))


def cuda_problem() -> str:
    """Say in a few words why CuPy cannot be used here; empty when it can."""
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        return "CuPy is not installed" if missing else f"CuPy cannot be loaded ({error})"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CUDA does not answer ({error})"
    return "" if count else "CUDA finds no device"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text("utf-8").splitlines() if info.is_file() else []:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _cpu_memory(root: Path) -> tuple[int, int]:
    """Free and total bytes: the least of the machine's and each enclosing control group's."""
    info = root / "proc/meminfo"
    if info.is_file():
        lines = (line.split() for line in info.read_text("ascii").splitlines())
        kilobytes = {parts[0].rstrip(":"): int(parts[1]) for parts in lines}
        total, free = kilobytes["MemTotal"] << 10, kilobytes["MemAvailable"] << 10
    else:
        page = os.sysconf("SC_PAGE_SIZE")
        total = free = page * os.sysconf("SC_PHYS_PAGES")
    for limit, used in _group_limits(root):
        total, free = min(total, limit), min(free, max(0, limit - used))
    return free, total


def _group_limits(root: Path) -> list[tuple[int, int]]:
    """(limit, bytes in use that cannot be reclaimed) of every group this process is within."""
    membership = root / "proc/self/cgroup"
    if not membership.is_file():
        return []
    found = []
    for line in membership.read_text("utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.lstrip("/")
        # Inside a container the path is the host's and absent here; its own group is the mount.
        for folder in [group, *group.parents] if group.is_dir() else [base]:
            if folder.is_relative_to(base) and (folder / names[0]).is_file():
                found += _limit(folder, *names)
    return found


def _limit(folder: Path, limit_name: str, used_name: str, reclaimable: str) -> list[tuple[int, int]]:
    limit = (folder / limit_name).read_text("ascii").strip()
    if limit == "max" or int(limit) >= _UNLIMITED:
        return []
    used = int((folder / used_name).read_text("ascii"))
    for line in (folder / "memory.stat").read_text("ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == reclaimable:
            used -= int(value)
    return [(int(limit), used)]
