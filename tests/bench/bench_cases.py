"""Import the two real cases and print where the right document stands, by each leg and by the whole.

`python -m tests.bench.bench_cases [case1|case2]`. Questions are read from the folder's own
README; the files that answer them are known by name.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from server.client import Client
from tests.bench.serving import investigator, open_case, serving

DEFAULT = Path(__file__).parents[2].parent / "shared" / "documents"
CASES = {
    "case1_enron_california": {4: "1-78548", 5: "1-233777"},
    "case2_sffa_v_harvard": {1: "P104", 2: "P057"},
}
ENDED = {"ready", "failed", "duplicate", "cancelled", "locked"}


def questions(folder: Path) -> dict[int, str]:
    """The numbered questions of the folder's README, without their answers."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    return {int(n): q.strip() for n, q in re.findall(r"^(\d)\. ([^?\n]+\?)", text, re.M)}


async def import_case(client: Client, folder: Path) -> str:
    """Upload every file of a folder; print what did not become ready, with its reason."""
    case = await open_case(client, folder.name)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    began = time.monotonic()
    for path in files:
        await client.upload_file(case, path)

    def uploads() -> list[dict[str, Any]]:
        return [m for m in client.topics[f"case:{case}"].machines.values() if m["kind"] == "upload"]

    def ended() -> bool:
        return len(uploads()) >= len(files) and all(set(m["configuration"]) & ENDED for m in uploads())

    await client.wait_for(ended, 1500)
    took = time.monotonic() - began
    ready = [m for m in uploads() if "ready" in m["configuration"]]
    pages = sum(m["context"]["pages"] for m in ready)
    chunks = sum(m["context"]["chunks"] for m in ready)
    print(
        f"\n{folder.name}: {len(files)} files, {len(uploads())} uploads with attachments, {len(ready)} ready "
        f"({pages} pages, {chunks} passages) in {took:.0f} s"
    )
    for m in uploads():
        if "ready" not in m["configuration"] or m["context"]["reason"]:
            print(f"  {m['context']['filename']}: {m['configuration'][0]}: {m['context']['reason']}")
    return case


async def ask(client: Client, case: str, question: str) -> dict[str, Any]:
    """Ask and wait for the answer."""
    machine = (await client.spawn("query", f"case:{case}", {"question": question}))["machine"]

    def done() -> Any:
        query = client.machine(machine)
        return query if query and {"answered", "failed"} & set(query["configuration"]) else None

    query: dict[str, Any] = await client.wait_for(done, 120)
    return query["context"]


async def rank_of(client: Client, context: dict[str, Any], case: str, name: str) -> dict[str, int | None]:
    """Rank of the first document whose file name holds `name`, counted in documents."""
    evidence = await client.request("GET", f"/api/cases/{case}/evidence?limit=1000")
    owner: dict[int, int] = {}
    for e in evidence:
        for chunk in await client.request("GET", f"/api/evidence/{e['id']}/chunks"):
            owner[chunk["id"]] = e["id"]
    wanted = {e["id"] for e in evidence if name in e["filename"]}

    def rank(nodes: list[int]) -> int | None:
        documents = list(dict.fromkeys(owner[n] for n in nodes if n in owner))
        return next((i for i, e in enumerate(documents, 1) if e in wanted), None)

    ranks = {
        leg: rank([f["node"] for f in context["legs"].get(leg, [])]) for leg in ("meaning", "words", "links")
    }
    return ranks | {"whole": rank([p["node"] for p in context["order"]])}


async def main(folder: Path, only: str) -> None:
    asked = questions(folder)
    rows = []
    async with serving() as url, investigator(url) as client:
        for name, right in CASES.items():
            if only and only not in name:
                continue
            case = await import_case(client, folder / name)
            for number, file in right.items():
                context = await ask(client, case, asked[number])
                ranks = await rank_of(client, context, case, file)
                answer = context["answer"]
                text = answer["text"] if answer else context["reason"]
                rows.append((number, ranks))
                print(f"\n  {number}. supported={answer and answer['supported']}: {text[:300]}")
    print("\n| question | by meaning | by words | by links | the whole |\n|---|---|---|---|---|")
    for number, ranks in sorted(rows):
        print(
            f"| {number} | "
            + " | ".join(str(ranks[k] or "–") for k in ("meaning", "words", "links", "whole"))
            + " |"
        )


if __name__ == "__main__":
    chosen = Path(os.environ.get("CASEWIRE_DOCUMENTS", DEFAULT))
    if not chosen.is_dir():
        sys.exit(f"no documents at {chosen}; set CASEWIRE_DOCUMENTS to the folder that holds them")
    asyncio.run(main(chosen, sys.argv[1] if len(sys.argv) > 1 else ""))
