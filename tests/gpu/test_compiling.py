"""Compiled code is kept, until a module changes that it may have been made from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gpu

PROGRAM = """
import numpy as np
from gpu.ranks.caller import twice
print(twice(np.ones(3)), sum(twice.stats.cache_hits.values()))
"""


def run(folder):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
    )
    return done.stdout.split()


def test_a_change_in_what_a_kernel_calls_makes_it_compiled_anew(tmp_path):
    package = tmp_path / "gpu"
    (package / "ranks").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "ranks/__init__.py").touch()
    shutil.copy(Path(gpu.__file__).parent / "compiling.py", package)
    callee = package / "callee.py"
    text = "from gpu.compiling import kernel\n@kernel\ndef times(x):\n    return x * {}\n"
    callee.write_text(text.format(2.0), "utf-8")
    (package / "ranks/caller.py").write_text(
        "from gpu.compiling import kernel\nfrom gpu.callee import times\n"
        "@kernel\ndef twice(x):\n    return times(x.sum())\n",
        "utf-8",
    )
    assert run(tmp_path) == ["6.0", "0"]
    assert run(tmp_path) == ["6.0", "1"]
    callee.write_text(text.format(5.0), "utf-8")
    assert run(tmp_path) == ["15.0", "0"]
