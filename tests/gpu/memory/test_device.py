"""The memory reported is what this process may still take, its control groups included."""

from __future__ import annotations

import pytest

from gpu import cuda_problem, describe
from gpu.memory.device import _cpu_memory

MEMINFO = "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable: 6000 kB\n"


V2 = ("memory.max", "memory.current", "memory.stat")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")


def memory(root, membership, folder, names, contents):
    """(free, total) in kB of a machine whose process is a member of one control group."""
    for path, text in {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": membership,
        **{f"{folder}/{name}": f"{text}\n" for name, text in zip(names, contents, strict=True)},
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    free, total = _cpu_memory(root)
    return free >> 10, total >> 10


@pytest.mark.parametrize(
    ("membership", "folder", "names", "reclaimable"),
    [
        ("0::/a/b\n", "sys/fs/cgroup/a", V2, "inactive_file"),
        ("0::/known/to/the/host\n", "sys/fs/cgroup", V2, "inactive_file"),
        ("5:cpu:/\n4:memory:/a\n", "sys/fs/cgroup/memory/a", V1, "total_inactive_file"),
    ],
)
def test_a_control_group_limits_memory(tmp_path, membership, folder, names, reclaimable):
    if membership == "0::/a/b\n":
        (tmp_path / "sys/fs/cgroup/a/b").mkdir(parents=True)
    contents = (4000 << 10, 1500 << 10, f"{reclaimable} {500 << 10}")
    assert memory(tmp_path, membership, folder, names, contents) == (3000, 4000)


@pytest.mark.parametrize("names", [V1, V2])
def test_a_group_without_a_limit_leaves_the_machine_s_memory(tmp_path, names):
    v2 = names == V2
    contents = ("max" if v2 else str((1 << 63) - 4096), 1500 << 10, "inactive_file 0")
    folder = "sys/fs/cgroup/a" if v2 else "sys/fs/cgroup/memory/a"
    membership = "0::/a\n" if v2 else "4:memory:/a\n"
    assert memory(tmp_path, membership, folder, names, contents) == (6000, 8000)


def test_a_group_above_its_limit_has_nothing_free(tmp_path):
    contents = (1000 << 10, 1500 << 10, "inactive_file 0")
    assert memory(tmp_path, "0::/a\n", "sys/fs/cgroup/a", V2, contents) == (0, 1000)


def test_the_device_described_is_the_one_in_use():
    device = describe()
    assert device.kind == ("cpu" if cuda_problem() else "cuda")
    assert device.why_cpu == cuda_problem()
    assert device.name
    assert 0 <= device.memory_free_bytes <= device.memory_total_bytes
