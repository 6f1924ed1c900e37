"""The kernels against their fastest peers, run in turns so that both meet the same machine.

`python -m tests.bench.bench_gpu [ranks|vectors|text|tensors …]` prints one Markdown table. A ratio above
1 means that ours is faster. Accuracy stands beside every time: a faster wrong answer is no faster.
"""

from __future__ import annotations

import importlib
import os
import sys

from gpu import describe
from tests.bench.racing import HEAD

PARTS = ("ranks", "text", "vectors")


def main() -> None:
    """Print the table of the parts named on the command line, of all without one."""
    device = describe()
    print(f"{device.name}, {os.cpu_count()} cores; peers in turns, medians.\n")
    print(HEAD)
    for part in sys.argv[1:] or PARTS:
        for bench in importlib.import_module(f"tests.bench.gpu_{part}").BENCHES:
            for row in bench():
                print(row, flush=True)


if __name__ == "__main__":
    main()
