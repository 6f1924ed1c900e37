"""Limits of the kernel on the process that reads untrusted files."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

OPEN_FILES = 64


def limit_process(scratch_bytes: int) -> None:
    """No core dumps, few open files, and no file larger than the scratch folder may be."""
    for kind, limit in (
        (resource.RLIMIT_FSIZE, scratch_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def limit_memory(memory_bytes: int) -> None:
    """From now on so much address space on top of what is taken already."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def lift_memory() -> None:
    """Take that limit away again, for what is not the next file's fault."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def limit_time(time_s: float) -> None:
    """So long, on all cores at once, from now on; the kernel ends the process at the next whole second.

    The parent, which goes by the clock, is there first, unless it is there no more.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + time_s * (os.cpu_count() or 1))
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
