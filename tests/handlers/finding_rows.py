"""A finding that quotes evidence, with a verdict on it, as a search leaves them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from storage.findings import FindingRow, Findings, PathNode, Source

FINGERPRINT = "0f" * 16


def finding(cases: list[str], evidence: list[int], words: str) -> FindingRow:
    return FindingRow(
        fingerprint=FINGERPRINT,
        kind="near",
        explicit=False,
        score=0.4,
        confidence=0.8,
        cases=cases,
        evidence=evidence,
        nodes=evidence,
        sentence=words,
        path=[PathNode(node, "evidence", "text/plain", words, cases[0]) for node in evidence],
        edges=[],
        sources=[Source(node, cases[0], words, 0, 0, 4, node + 1, words, [(0, 4)]) for node in evidence],
    )


async def found_and_accepted(database: AsyncEngine, user: str, one: FindingRow) -> None:
    """Stored as the only finding of a search, and accepted."""
    findings = Findings(database)
    await findings.put_drafts("detective-0-a", user, "ranking", [])
    assert await findings.put("detective-0-a", user, [one]) == [one]
    assert await findings.judge(
        "detective-0-a", user, one.fingerprint, 1, cases=one.cases, effect="e", at=1.0
    )
