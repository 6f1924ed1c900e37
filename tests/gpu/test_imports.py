"""The kernels can be copied to a bare machine that has NumPy, numba and perhaps CuPy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gpu

FOLDER = Path(gpu.__file__).parent
ALLOWED = {"numpy", "numba", "llvmlite", "cupy", "pynvml", "gpu"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_only_array_libraries_are_imported(path):
    others = set(imported(ast.parse(path.read_text("utf-8")))) - ALLOWED
    assert others <= sys.stdlib_module_names


def test_cupy_is_not_needed_and_not_loaded():
    program = (
        "import sys; sys.modules['cupy'] = None; import gpu, numpy as np;"
        "print(gpu.describe().why_cpu); gpu.rank_order(np.ones(1), ['a'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "CuPy is not installed"
