"""Every file of a folder through a real instance: the state each one reaches, and what was read out of it.

    python -m tests.bench.documents [FOLDER] [--password WORD]... [--output FILE]

Files are sent in the order of their paths, a few at a time, and seconds are those of the jobs, from
the start of the first to the end of the last, so that waiting in the queue is not counted. What is
found inside a file is an upload of its own and is told in the column of its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.client import Client
from tests.proof.instance import Instance

AT_ONCE = 4
REST_S = 3600.0
RESTING = frozenset(("ready", "failed", "duplicate", "locked", "cancelled", "deleted", "stranded"))


@dataclass(frozen=True)
class Row:
    """What became of one file."""

    name: str
    kind: str
    state: str
    seconds: float
    pages: int
    characters: int
    ocr_pages: int
    children: int
    said: str

    def line(self) -> str:
        """As a row of a Markdown table."""
        said = self.said.replace("|", "\\|").replace("\n", " ")
        return (
            f"| {self.name} | {self.kind} | {self.state} | {self.seconds:.1f} | {self.pages or ''} | "
            f"{self.characters or ''} | {self.ocr_pages or ''} | {self.children or ''} | {said} |"
        )


def main() -> None:
    """Run it and print the tables; the exit status is 1 where a file has not come to rest."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "documents"
    parser = argparse.ArgumentParser(prog="python -m tests.bench.documents")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(os.environ.get("CASEWIRE_DOCUMENTS") or beside)
    )
    parser.add_argument("--password", action="append", default=[], help="tried on every locked file")
    parser.add_argument("--output", type=Path, help="where the tables go, too")
    options = parser.parse_args()
    if not options.folder.is_dir():
        sys.exit(f"There is no folder {options.folder}.")
    rows, inside, left = asyncio.run(_run(options.folder, options.password))
    text = "\n".join([*_table(rows), "", *_summary(rows, inside)])
    print(text)
    if options.output:
        options.output.write_text(text + "\n", "utf-8")
    if left:
        sys.exit(f"Not at rest: {', '.join(left)}")


async def _run(folder: Path, passwords: list[str]) -> tuple[list[Row], Counter[str], list[str]]:
    instance = Instance(CASEWIRE_CPU_WORKERS="2", CASEWIRE_GPU_WORKERS="1")
    try:
        await instance.start()
        async with Client(instance.url, timeout_s=120) as client:
            await client.register("reader@example.org", "Reader", "long enough for anybody")
            case = (await client.request("POST", "/api/cases", {"title": "Documents"}))["id"]
            await client.connect()
            await client.subscribe(f"case:{case}")
            return await _send_all(client, case, folder, passwords)
    finally:
        await instance.stop()
        instance.clear()


async def _send_all(
    client: Client, case: str, folder: Path, passwords: list[str]
) -> tuple[list[Row], Counter[str], list[str]]:
    sent: dict[str, Path] = {}
    seen: dict[str, dict[str, Any]] = {}

    def note(_: Any) -> None:
        seen.update(_uploads(client, case))  # finished machines leave a long topic

    client.listeners.append(note)
    gate = asyncio.Semaphore(AT_ONCE)

    async def send(path: Path) -> None:
        async with gate:
            machine = await client.upload_file(case, path)
            sent[machine] = path
            await client.wait_for(lambda: _rests(seen.get(machine)), REST_S)
            for password in passwords:
                if _state(seen[machine]) != "locked":
                    break
                # Out of the state and, after its work, into another or the same one again.
                tried = seen[machine]["revision"] + 2
                await client.request("POST", f"/api/uploads/{machine}/unlock", {"password": password})
                await client.wait_for(lambda: _rests(seen[machine], tried), REST_S)  # noqa: B023 - awaited here

    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    await asyncio.gather(*(send(path) for path in paths))
    with contextlib.suppress(TimeoutError):  # what is left is told
        await client.wait_for(lambda: all(_rests(machine) for machine in seen.values()), REST_S)
    rows = [_row(str(path.relative_to(folder)), seen[machine]) for machine, path in sent.items()]
    inside = Counter(_state(machine) for key, machine in seen.items() if key not in sent)
    left = [machine["context"]["filename"] for machine in seen.values() if not _rests(machine)]
    return sorted(rows, key=lambda row: row.name), inside, left


def _uploads(client: Client, case: str) -> dict[str, dict[str, Any]]:
    machines = client.topics[f"case:{case}"].machines
    return {key: machine for key, machine in machines.items() if machine["kind"] == "upload"}


def _state(machine: dict[str, Any]) -> str:
    return str(machine["configuration"][0])


def _rests(machine: dict[str, Any] | None, revision: int = 0) -> bool:
    return machine is not None and _state(machine) in RESTING and machine["revision"] >= revision


def _row(name: str, machine: dict[str, Any]) -> Row:
    c = machine["context"]
    spans = [(w["since"], w["ended"]) for w in c["work"].values() if w["ended"]]
    seconds = sum(end - start for start, end in spans)
    said = "; ".join(one for one in (c["reason"], c.get("notice", "")) if one)
    return Row(
        name, c["media_type"] or "–", _state(machine), seconds, c["pages"], c["characters"],
        c.get("ocr_pages", 0), c["children"], said,
    )  # fmt: skip


def _table(rows: list[Row]) -> Iterator[str]:
    yield "| file | kind | state | s | pages | characters | OCR pages | inside | said |"
    yield "|---|---|---|---:|---:|---:|---:|---:|---|"
    for row in rows:
        yield row.line()


def _summary(rows: list[Row], inside: Counter[str]) -> Iterator[str]:
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row)
    yield "| kind | files | states | s | pages | characters | OCR pages | inside |"
    yield "|---|---:|---|---:|---:|---:|---:|---:|"
    for kind, of_kind in sorted(kinds.items()):
        states = Counter(row.state for row in of_kind)
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        yield (
            f"| {kind} | {len(of_kind)} | {told} | {sum(r.seconds for r in of_kind):.1f} | "
            f"{sum(r.pages for r in of_kind)} | {sum(r.characters for r in of_kind)} | "
            f"{sum(r.ocr_pages for r in of_kind)} | {sum(r.children for r in of_kind)} |"
        )
    yield ""
    yield f"{len(rows)} files; found inside them: {', '.join(f'{n} {s}' for s, n in sorted(inside.items()))}."


if __name__ == "__main__":
    main()
