"""The main job, timed from outside: push, throughput, first hits, pages from upload to ready.

`python -m tests.bench.bench_main` prints Markdown rows; a server of its own runs beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pymupdf

from server.client import Client
from server.demo_case import QUESTIONS, documents
from tests.bench.serving import EMAIL, PASSWORD, investigator, open_case, serving

ENDED = {"ready", "failed", "duplicate"}
STAGES = ("verifying", "extracting", "embedding", "indexing", "linking", "tagging", "summarising")
EVENTS = 300
ASKED = 20
PAGES = 120


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def spread(values_ms: Sequence[float]) -> str:
    return f"p50 {percentile(values_ms, 0.5):.1f} ms, p99 {percentile(values_ms, 0.99):.1f} ms"


async def push(client: Client, other: Client, case: str) -> str:
    """Event sent → entry seen by another subscriber, one at a time."""
    machine = next(
        m["machine"] for m in client.topics[f"case:{case}"].machines.values() if m["kind"] == "case"
    )
    seen = asyncio.Event()
    wanted = ""

    def listen(message: dict[str, Any]) -> None:
        if message["type"] == "entry" and message["context"].get("title") == wanted:
            seen.set()

    other.listeners.append(listen)
    took = []
    for i in range(EVENTS):
        wanted = f"title {i}"
        seen.clear()
        began = time.perf_counter()
        sent = asyncio.create_task(client.send(machine, "rename", {"title": wanted}))
        await asyncio.wait_for(seen.wait(), 10)
        took.append((time.perf_counter() - began) * 1000)
        await sent
    other.listeners.remove(listen)
    return f"| event → push to another subscriber | {spread(took)} |"


async def throughput(client: Client, case: str) -> str:
    """Transitions of many machines through one socket, 32 in flight."""
    machines = [m["machine"] for m in client.topics[f"case:{case}"].machines.values() if m["kind"] == "case"]
    for i in range(15):
        other = await open_case(client, f"case {i}")
        machines += [
            m["machine"] for m in client.topics[f"case:{other}"].machines.values() if m["kind"] == "case"
        ]
    gate = asyncio.Semaphore(32)
    count = 2000

    async def one(i: int) -> None:
        async with gate:
            await client.send(machines[i % len(machines)], "rename", {"title": f"t{i}"})

    began = time.perf_counter()
    await asyncio.gather(*(one(i) for i in range(count)))
    return f"| transitions through one socket, 16 machines | {count / (time.perf_counter() - began):.0f} /s |"


async def first_hits(client: Client, case: str) -> str:
    """Question sent → order on screen."""
    took, whole = [], []
    for i in range(ASKED):
        question = QUESTIONS[i % len(QUESTIONS)]
        began = time.perf_counter()
        machine = (await client.spawn("query", f"case:{case}", {"question": question}))["machine"]

        def context(machine: str = machine) -> dict[str, Any]:
            return (client.machine(machine) or {"context": {}})["context"]

        await client.wait_for(lambda: context().get("order"), 60)
        took.append((time.perf_counter() - began) * 1000)
        await client.wait_for(lambda: context().get("answer"), 60)
        whole.append((time.perf_counter() - began) * 1000)
    return (
        f"| question → first hits | {spread(took)} |\n| question → answer with citations | {spread(whole)} |"
    )


def report(pages: int) -> bytes:
    """A PDF of generated prose: about 300 words a page, no two pages alike."""
    subjects = [
        "the girder",
        "the barge",
        "the ledger",
        "the inspector",
        "the harbour",
        "the survey",
        "the permit",
        "the weld",
    ]
    verbs = ["was moved", "was inspected", "was recorded", "was delayed", "was paid for", "was photographed"]
    places = ["at the north yard", "below Pier 3", "in Port Ellery", "on the east bank", "in the site office"]
    document = pymupdf.open()
    for number in range(pages):
        lines = []
        for i in range(34):
            k = number * 34 + i
            subject, verb, place = subjects[k % 8], verbs[(k // 3) % 6], places[(k // 7) % 5]
            lines.append(f"On day {k}, {subject} {verb} {place}, reference {k * 7919 % 99991}.")
        page = document.new_page()
        page.insert_textbox(pymupdf.Rect(60, 60, 540, 790), "\n".join(lines), fontsize=11)
    content: bytes = document.tobytes()
    document.close()
    return content


async def pages(client: Client) -> str:
    """One report from upload to ready, with each stage's share of the running time."""
    case = await open_case(client, "pages")
    content = report(PAGES)
    began = time.perf_counter()
    machine = await client.upload(case, "report.pdf", content, len(content))

    def done() -> Any:
        upload = client.machine(machine)
        return upload if upload and ENDED & set(upload["configuration"]) else None

    upload = await client.wait_for(done, 600)
    took = time.perf_counter() - began
    work = upload["context"]["work"]
    running = {stage: work[stage]["ended"] - work[stage]["since"] for stage in STAGES if stage in work}
    total = sum(running.values())
    shares = ", ".join(f"{stage} {100 * s / total:.0f} %" for stage, s in running.items())
    passages = upload["context"]["chunks"]
    return (
        f"| upload → ready, {PAGES} pages, {passages} passages | {PAGES / took:.1f} pages/s |\n"
        f"| share of each stage's running time | {shares} |"
    )


async def main() -> None:
    async with serving() as url, investigator(url) as client, Client(url) as other:
        case = await open_case(client, "bench")
        await other.login(EMAIL, PASSWORD)
        await other.connect()
        await other.subscribe(f"case:{case}")
        print("| measure | value |\n|---|---|")
        print(await push(client, other, case))
        print(await throughput(client, case))
        for file in documents():
            await client.upload(case, file.filename, file.content, len(file.content))

        def ready() -> bool:
            uploads = [m for m in client.topics[f"case:{case}"].machines.values() if m["kind"] == "upload"]
            return len(uploads) >= 13 and all(ENDED & set(m["configuration"]) for m in uploads)

        await client.wait_for(ready, 300)
        print(await first_hits(client, case))
        print(await pages(client))


if __name__ == "__main__":
    asyncio.run(main())
