"""Evidence that is nearly the same as other evidence of its case is linked with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import numpy as np

from gpu.text.minhash import agreement, shared
from handlers.near_text import Hashes, bands_of, runs_of, signature_of
from storage.evidence import EvidenceRow, EvidenceStore, UnknownEvidence
from storage.near_copies import AlikeText, Likeness, NearCopies

LEAST_RUNS = 10
"""A text of fewer runs says too little: every “Thank you” would be like every other."""

ALIKE = 0.5
"""Share of common runs from which two texts are near copies."""
WHOLLY, OF_LONGER = 0.95, 0.3
"""A text that stands so wholly in another is a near copy already at this share: a quoted mail."""

ESTIMATED = 0.05
"""By how much a signature may mislead before a pair is not even compared, about a standard deviation."""

CANDIDATES = 2000
"""Texts of a common band that are looked at by their signatures."""
LINKED = 100
"""Links that one search makes, the most alike ones; a crowd of copies stays connected."""
COMPARED_RUNS = 500_000
"""Runs of other texts that one search reads; what is beyond is linked by its signature."""

PICTURE_BITS = 6
"""Bits of 64 in which two pictures may differ: smaller, paler and more compressed copies stay within 6,
photographs of different things are 24 and more apart, but scanned pages of different texts only 8."""
LEAST_SET = 8
"""A picture whose hash has fewer bits set, or unset, is blank: it looks like every blank page."""

MAILS = frozenset({"message/rfc822", "application/vnd.ms-outlook"})
"""Kinds whose text begins with header lines, which near copies never share."""

_PHASH = re.compile(r"[0-9a-f]{16}")


class NearLinks:
    """Searches a case for near copies, and keeps the links."""

    def __init__(self, evidence: EvidenceStore, copies: NearCopies) -> None:
        self._evidence = evidence
        self._copies = copies

    async def link(self, evidence: int) -> int:
        """Link what was read last of a piece of evidence; returns with how many others.

        Run again for the same text it leaves the same links; for another text those of the earlier
        one are gone.

        Raises:
            UnknownEvidence: The evidence is gone.
        """
        row = await self._evidence.get(evidence)
        return await self._link_picture(row) + await self._link_text(row)

    async def _link_picture(self, row: EvidenceRow) -> int:
        phash = picture_hash(row.meta.get("phash"))
        if phash is None:
            await self._copies.forget_picture(row.id)
            return 0
        await self._copies.put_picture(row.case_id, row.id, phash)
        found = await self._copies.alike_pictures(row.case_id, row.id, phash, most=PICTURE_BITS, limit=LINKED)
        return await self._copies.link_pictures(row.case_id, row.id, phash, found)

    async def _link_text(self, row: EvidenceRow) -> int:
        text = body_of(row.media_type, await self._evidence.text(row.id))
        runs = await asyncio.to_thread(runs_of, text)
        if len(runs) < LEAST_RUNS:
            await self._copies.forget_text(row.id)
            return 0
        signature = await asyncio.to_thread(signature_of, runs)
        mark, bands = signature.tobytes(), bands_of(signature)
        await self._copies.put_text(row.case_id, row.id, len(runs), mark, bands)
        there = await self._copies.alike_texts(row.case_id, row.id, bands, limit=CANDIDATES)
        found = await self._compared(runs, promising(runs, mark, there))
        return await self._copies.link_texts(row.case_id, row.id, mark, found)

    async def _compared(self, runs: Hashes, candidates: Sequence[tuple[AlikeText, float]]) -> list[Likeness]:
        found: list[Likeness] = []
        left = COMPARED_RUNS
        for other, estimate in candidates:
            if len(found) == LINKED:
                break
            left -= other.runs
            if left >= 0:
                try:
                    row = await self._evidence.get(other.evidence)
                    text = body_of(row.media_type, await self._evidence.text(row.id))
                except UnknownEvidence:
                    continue
                theirs = await asyncio.to_thread(runs_of, text)
                both = shared(runs, theirs)
                exact = True
            else:
                theirs, exact = None, False
                both = round(estimate * (len(runs) + other.runs) / (1 + estimate))
            counts = (len(runs), len(theirs) if theirs is not None else other.runs)
            score, contained = likeness(both, *counts)
            if is_near(score, contained):
                found.append(Likeness(other.evidence, score, contained, exact, other.signature))
        return found


def promising(runs: Hashes, mark: bytes, there: Sequence[AlikeText]) -> list[tuple[AlikeText, float]]:
    """Those of the candidates that may be near copies by their signatures, the most alike first."""
    if not there:
        return []
    signatures = np.frombuffer(b"".join(one.signature for one in there), np.uint32).reshape(len(there), -1)
    estimates = agreement(np.frombuffer(mark, np.uint32), signatures).tolist()
    best = sorted(zip(there, estimates, strict=True), key=lambda told: (-told[1], told[0].evidence))
    return [(one, estimate) for one, estimate in best if estimate >= OF_LONGER - ESTIMATED]


def likeness(both: int, one: int, other: int) -> tuple[float, float]:
    """Of two sets that share `both` members: the share of all members, and of the smaller set's."""
    if not both:
        return 0.0, 0.0
    both = min(both, one, other)
    return both / (one + other - both), both / min(one, other)


def is_near(score: float, contained: float) -> bool:
    """Whether two texts count as near copies."""
    return score >= ALIKE or (contained >= WHOLLY and score >= OF_LONGER)


def picture_hash(told: object) -> int | None:
    """A reader's 16 hex digits as PostgreSQL's signed number; None without one, or of a blank picture."""
    if not isinstance(told, str) or not _PHASH.fullmatch(told):
        return None
    value = int(told, 16)
    if not LEAST_SET <= value.bit_count() <= 64 - LEAST_SET:
        return None
    return value - 2**64 if value >= 2**63 else value


def body_of(media_type: str, text: str) -> str:
    """What somebody wrote: a mail without its header lines, anything else as it is."""
    return text.partition("\n\n")[2] if media_type in MAILS else text
