"""A folder through a whole instance: files and megabytes a second, and how well time left was told.

Run with `python -m tests.bench.bench_import [--files N] [--large MB …] [--cpu N] [--gpu N]`; prints
Markdown tables. Time left is what pages show at 10, 50 and 90 % of the files, against what it took.
The same folder goes through a shell loop of bare extractors, as many at a time as there are workers for
the CPU: one process for each file, which leaves no more than a text beside it; no hash, no search.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from redis.asyncio import Redis

from server.cli_import import size, span
from server.client import Client
from server.folder_sending import FolderSender
from server.folder_walk import walk
from tests.folders import make_folder
from tests.proof.instance import Instance, connect

_BARE = """
case "$1" in
  *.pdf) "$PYTHON" -c 'import pymupdf, sys
print("".join(page.get_text() for page in pymupdf.open(sys.argv[1])))' "$1" ;;
  *.eml) "$PYTHON" -c 'import email, email.policy, sys
read = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
print(read["subject"], read.get_body(("plain", "html")).get_content())' "$1" ;;
  *) cat "$1" ;;
esac > "$1.txt" 2> /dev/null || true
"""
"""What somebody would write who wants the text of each file, and no more."""
_MARKS = (10, 50, 90)


@dataclass
class Look:
    """What was seen at a moment, in seconds since the beginning."""

    at: float
    here: int
    resting: int
    files: int
    pace: dict[str, Any]
    redis_bytes: int
    live: int
    server_bytes: int


def make_large(root: Path, megabytes: list[int]) -> None:
    """Pictures of disks of so many megabytes: sparse here, every byte of them is sent; none like another."""
    for number, size_mb in enumerate(megabytes):
        with (root / f"disk {number}.img").open("wb") as file:
            file.write(b"Picture of the disk number %06d of the bench\n" % number)
            file.truncate(size_mb << 20)


async def look(client: Client, machine: str, redis: Any, instance: Instance, began: float) -> Look:
    state = await client.request("GET", f"/api/imports/{machine}")
    tally = state["tally"]
    files = sum(tally.values())
    unsent = tally["waiting"] + tally["sending"]
    keys = [key async for key in redis.scan_iter(match=b"*:live:import:*", count=1000)]
    return Look(
        time.monotonic() - began,
        files - unsent,
        files - unsent - tally["queued"] - tally["working"],
        files,
        state["pace"],
        (await redis.info("memory"))["used_memory"],
        sum([await redis.scard(key) for key in keys]),
        psutil.Process(instance.pid).memory_info().rss if instance.pid else 0,
    )


async def run(options: argparse.Namespace, folder: Path) -> None:
    instance = Instance(
        CASEWIRE_CPU_WORKERS=str(options.cpu),
        CASEWIRE_GPU_WORKERS=str(options.gpu),
        CASEWIRE_MAX_UPLOAD_BYTES=str(64 << 30),
        CASEWIRE_LOG_LEVEL="warning",
        OMP_NUM_THREADS="1",
    )
    try:
        await instance.start()
        owner = instance.owner
        assert owner is not None
        redis: Any = Redis.from_url(owner.redis_url)
        async with Client(instance.url, timeout_s=120) as client:
            await client.register("bench@example.org", "Bench", "a long enough password")
            case = (await client.request("POST", "/api/cases", {"title": "A bench"}))["id"]
            made = await client.request("POST", f"/api/cases/{case}/imports", {"title": "Boxes"})
            before = (await redis.info("memory"))["used_memory"]
            looks, spent = await imported(client, made["machine"], folder, redis, instance, options.most)
            state = await client.request("GET", f"/api/imports/{made['machine']}")
            report(folder, state, looks, spent, before, options)
            await against_bare(instance, folder, looks[-1].at, options.cpu)
            await rows(instance, looks[-1].files)
        await redis.aclose()
    finally:
        await instance.stop()
        instance.clear()


async def imported(
    client: Client, machine: str, folder: Path, redis: Any, instance: Instance, most_s: float
) -> tuple[list[Look], dict[str, float]]:
    """Import the folder; what was seen each second, and seconds until listed, sent, at rest."""
    sender = FolderSender(client, machine, os.fsencode(folder))
    began = time.monotonic()
    looks: list[Look] = []
    spent: dict[str, float] = {}

    async def send() -> None:
        await sender.tell_all(walk(os.fsencode(folder)))
        spent["listed"] = time.monotonic() - began
        while await sender.send_wanted():
            pass
        spent["sent"] = time.monotonic() - began

    sending = asyncio.create_task(send())
    while True:
        looks.append(await look(client, machine, redis, instance, began))
        last = looks[-1]
        if sending.done() and last.resting == last.files:
            break
        if last.at > most_s:
            print(f"gave up after {last.at:.0f} s: {last.resting} of {last.files} at rest")
            break
        await asyncio.sleep(1.0)
    await sending
    spent["at rest"] = looks[-1].at
    return looks, spent


def report(
    folder: Path,
    state: dict[str, Any],
    looks: list[Look],
    spent: dict[str, float],
    before: int,
    options: argparse.Namespace,
) -> None:
    files, total = looks[-1].files, state["bytes"]
    tally = ", ".join(f"{n} {name}" for name, n in state["tally"].items() if n)
    print(f"{files:,} files, {size(total)}, {options.cpu} cpu and {options.gpu} gpu workers: {tally}\n")
    print("| until | s | files/s | MB/s |\n|---|---|---|---|")
    for what, seconds in spent.items():
        print(f"| {what} | {seconds:.1f} | {files / seconds:.1f} | {total / seconds / 1e6:.2f} |")
    end = looks[-1].at
    print("\n| at rest | told as left | within | took yet | error |\n|---|---|---|---|---|")
    for mark in _MARKS:
        seen = next(
            x for x in looks if x.files and x.resting * 100 >= mark * files and spent["listed"] <= x.at
        )
        told, real = seen.pace["work"], end - seen.at
        if told is None:
            print(f"| {mark} % | not known yet | | {span(real)} | |")
            continue
        within = "yes" if told["low"] <= real <= told["high"] else "no"
        error = f"{100 * (told['likely'] - real) / real:+.0f} %" if real else ""
        between = f"{span(told['low'])} to {span(told['high'])}: {within}"
        print(f"| {mark} % | {span(told['likely'])} | {between} | {span(real)} | {error} |")
    redis_most, live_most = max(x.redis_bytes for x in looks), max(x.live for x in looks)
    server = [x.server_bytes for x in looks if x.server_bytes]
    print(
        f"\nRedis: {size(before)} before, {size(redis_most)} at most, {size(looks[-1].redis_bytes)} at the "
        f"end; at most {live_most} live machines. Server: {size(server[0])} to {size(max(server))} resident."
    )


async def against_bare(instance: Instance, folder: Path, ours_s: float, workers: int) -> None:
    """The same files through the bare extractors, in a loop of a shell."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    owner = instance.owner
    assert owner is not None
    connection = await connect(owner)
    pages = await connection.fetchval("SELECT coalesce(sum(pages), 0) FROM import_files")
    await connection.close()
    began = time.monotonic()
    await asyncio.to_thread(
        subprocess.run,
        ["xargs", "-0", "-P", str(workers), "-n", "1", "sh", "-c", _BARE, "sh"],
        input=b"\0".join(os.fsencode(path) for path in files),
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
    )
    bare_s = time.monotonic() - began
    for path in files:
        path.with_name(path.name + ".txt").unlink()
    print("\n| | s | files/s | pages/s |\n|---|---|---|---|")
    for what, spent_s in (("shell loop of bare extractors", bare_s), ("Casewire, whole", ours_s)):
        print(f"| {what} | {spent_s:.1f} | {len(files) / spent_s:.1f} | {pages / spent_s:.1f} |")
    print(f"| ratio | {ours_s / bare_s:.2f} | {bare_s / ours_s:.2f} | {bare_s / ours_s:.2f} |")


async def rows(instance: Instance, files: int) -> None:
    """What PostgreSQL holds for it."""
    owner = instance.owner
    assert owner is not None
    connection = await connect(owner)
    print("\n| table | rows | bytes a file |\n|---|---|---|")
    for table in (
        "import_files",
        "archived_machines",
        "journal",
        "evidence",
        "chunks",
        "postings",
        "mentions",
    ):
        count = await connection.fetchval(f"SELECT count(*) FROM {table}")
        size_bytes = await connection.fetchval(f"SELECT pg_total_relation_size('{table}')")
        print(f"| {table} | {count:,} | {size_bytes / files:,.0f} |")
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--large", type=int, nargs="*", default=[], help="MiB of each large file")
    parser.add_argument("--cpu", type=int, default=2)
    parser.add_argument("--gpu", type=int, default=1)
    parser.add_argument("--most", type=float, default=1500.0, help="seconds after which it gives up")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="casewire-bench-", dir="/tmp"))
    try:
        make_folder(folder, options.files)
        make_large(folder, options.large)
        asyncio.run(run(options, folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
