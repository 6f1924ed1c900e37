"""Run every benchmark but the kernels' (`make bench-gpu`) and print one Markdown table after another."""

import platform
import subprocess
import sys
from datetime import UTC, datetime

import psutil

BENCHES = (
    "bench_step",
    "bench_commit",
    "bench_memory",
    "bench_push",
    "bench_inspector",
    "bench_engine",
    "bench_upload",
    "bench_main",
    "bench_pressure",
    "bench_retrieval",
    "bench_feedback",
    "bench_scale",
    "bench_duplicates",
    "bench_pois",
    "bench_prompts",
    "bench_detective",
    "bench_watching",
    "bench_ocr",
    "bench_readers",
    "bench_import",
)

machine = f"{psutil.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}")
failed = []
for bench in BENCHES:
    print(f"\n## {bench.removeprefix('bench_')}\n", flush=True)
    if subprocess.run([sys.executable, "-m", f"tests.bench.{bench}"], check=False).returncode:
        failed.append(bench)
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
