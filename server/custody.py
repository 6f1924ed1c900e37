"""The custody chains of an instance, checked for `casewire custody verify`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from server.runtime import custody_folder
from server.services import attached_services
from server.settings import Settings
from storage.custody_check import Verdict
from storage.custody_heads import CustodyHeads, Head, HeadsError, heads_in, hex_of
from storage.database import create_engine
from storage.journal import CustodyJournal


async def verify_all(
    settings: Settings, *, topics: Sequence[str] = (), copies: Sequence[Path] = ()
) -> tuple[bool, list[str]]:
    """Whether every chain is whole, and a line for each topic and each problem.

    A topic that was signed and has no rows left is a problem, too.

    Args:
        topics: Only these; all where none is named.
        copies: Files of heads that were kept elsewhere, which count besides the instance's own.

    Raises:
        ServicesError: No server runs on the data folder and no database is configured.
    """
    services = attached_services(settings)
    database = create_engine(services.database_url, pool_size=1)
    try:
        journal = CustodyJournal(database)
        try:
            heads, problems = await asyncio.to_thread(known_heads, custody_folder(services), copies)
        except HeadsError as error:
            return False, [str(error)]
        wanted = topics or sorted({*await journal.topics(), *(head.topic for head in heads)})
        well, lines = not problems, [f"heads: {problem}" for problem in problems]
        for topic in wanted:
            verdict = await journal.verify(topic, [head for head in heads if head.topic == topic])
            lines += told(verdict)
            well = well and verdict.ok
        return well, lines or ["There are no records yet."]
    finally:
        await database.dispose()


def told(verdict: Verdict) -> list[str]:
    """A line for the chain, and one for each problem."""
    forgotten = f", {verdict.forgotten} quotations deleted" if verdict.forgotten else ""
    state = "whole" if verdict.ok else "broken"
    if not verdict.rows:
        first = f"{verdict.topic}: no rows: {'broken' if verdict.problems else 'there is no such chain'}"
    else:
        first = f"{verdict.topic}: {verdict.rows} rows, signed to {verdict.signed_to}{forgotten}: {state}"
    return [first, *(f"  row {problem.seq}: {problem.what}" for problem in verdict.problems)]


def known_heads(own: CustodyHeads, copies: Sequence[Path]) -> tuple[list[Head], list[str]]:
    """The instance's heads with those of the copies, and what the copies show of the instance's file.

    Raises:
        HeadsError: A file cannot be read.
    """
    heads = own.read()
    if not copies:
        return heads, []
    public: Ed25519PublicKey = own.public_key()
    mine = {(head.topic, head.seq, head.hash, head.signature) for head in heads}
    problems: list[str] = []
    for file in copies:
        kept = heads_in(file, public)
        foreign = sorted({head.key for head in kept if head.key and head.key != hex_of(public)})
        problems += [
            f"{file.name} was signed with the key {key[:16]}…, this instance signs with "
            f"{hex_of(public)[:16]}…: the key was replaced"
            for key in foreign
        ]
        missing = [head for head in kept if (head.topic, head.seq, head.hash, head.signature) not in mine]
        problems += [
            f"line {head.line} of {file.name}, the head of row {head.seq} of {head.topic}, "
            "is not among the heads of this instance"
            for head in missing[:_NAMED]
        ]
        if len(missing) > _NAMED:
            problems.append(f"{len(missing) - _NAMED} more of {file.name} are not among them either")
        heads += missing
    return heads, problems


_NAMED = 20
"""So many missing heads are named one by one."""
