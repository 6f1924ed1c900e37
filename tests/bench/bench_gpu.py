"""The kernels against their fastest peers, run in turns so that both meet the same machine.

`python -m tests.bench.bench_gpu [ranks|text|vectors|device …]` prints one Markdown table. A ratio above
1 means that ours is faster. Accuracy stands beside every time: a faster wrong answer is no faster.
"""

from __future__ import annotations

import os
import subprocess
import sys

from gpu import describe
from tests.bench.racing import HEAD

ENVIRONMENT = {"ranks": {"OMP_NUM_THREADS": "1"}}
"""Here every package works on one thread; two OpenMP runtimes that wait for each other would lose both."""

_ONE = """
import importlib, sys
for bench in importlib.import_module(f"tests.bench.gpu_{sys.argv[1]}").BENCHES:
    for row in bench():
        print(row, flush=True)
"""

PARTS = ("ranks", "text", "vectors", "tensors", "device")
PARTS = ("ranks", "tensors", "text", "vectors")


def main() -> None:
    """Print the table of the parts named on the command line, of all without one."""
    device = describe()
    print(f"{device.name}, {os.cpu_count()} cores; peers in turns, medians.\n")
    print(HEAD, flush=True)
    for part in sys.argv[1:] or PARTS:
        run = [sys.executable, "-c", _ONE, part]
        subprocess.run(run, check=True, env=os.environ | ENVIRONMENT.get(part, {}))


if __name__ == "__main__":
    main()
