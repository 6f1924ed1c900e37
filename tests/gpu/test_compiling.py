"""Compiled code is kept, until a module changes that it may have been made from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gpu

CALLEE = "from gpu.compiling import kernel\n@kernel\ndef times(x):\n    return x * {}\n"

PROGRAM = """
import numpy as np
from gpu.ranks.caller import twice
print(twice(np.ones(3)), sum(twice.stats.cache_hits.values()) if hasattr(twice, "stats") else "")
"""


def run(folder, said="", **environment):
    """What `PROGRAM` prints; what it logs is one line that has `said` in it, or nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | environment,
    )
    assert done.stderr.count("\n") == bool(said)
    assert said in done.stderr
    return done.stdout.split()


@pytest.fixture
def package(tmp_path):
    package = tmp_path / "gpu"
    (package / "ranks").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "ranks/__init__.py").touch()
    shutil.copy(Path(gpu.__file__).parent / "compiling.py", package)
    (package / "callee.py").write_text(CALLEE.format(2.0), "utf-8")
    (package / "ranks/caller.py").write_text(
        "from gpu.compiling import kernel\nfrom gpu.callee import times\n"
        "@kernel\ndef twice(x):\n    return times(x.sum())\n",
        "utf-8",
    )
    return package


def test_a_change_in_what_a_kernel_calls_makes_it_compiled_anew(package):
    assert run(package.parent) == ["6.0", "0"]
    assert run(package.parent) == ["6.0", "1"]
    (package / "callee.py").write_text(CALLEE.format(5.0), "utf-8")
    assert run(package.parent) == ["15.0", "0"]


def test_where_nothing_can_be_kept_a_warning_says_what_to_do(package):
    for folder in (package, package / "ranks"):
        (folder / "__pycache__").touch()
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), "/proc/nowhere")
    said = "set NUMBA_CACHE_DIR to a folder that can be written"
    assert run(package.parent, said, **nowhere) == ["6.0", "0"]


def test_without_compiling_a_kernel_is_the_function_itself(package):
    assert run(package.parent, NUMBA_DISABLE_JIT="1") == ["6.0"]
