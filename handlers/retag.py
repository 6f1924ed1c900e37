"""Evidence that an earlier tagger has tagged is tagged again; tags that a person wrote stay as they are."""

from __future__ import annotations

from handlers.tag import TAGGER_VERSION, tags_of
from storage.evidence import EvidenceStore, UnknownEvidence
from storage.outdated_tags import OutdatedTags
from storage.words import Words


async def retag_some(
    outdated: OutdatedTags, *, evidence: EvidenceStore, words: Words, after: int = 0, limit: int = 20
) -> tuple[int, set[str]]:
    """Tag the next few again.

    Returns:
        The id of the last one, 0 where nothing is left above `after`; and the cases they are in.
    """
    found = await outdated.next(TAGGER_VERSION, after=after, limit=limit)
    cases = set()
    for one, case in found:
        try:
            row, text = await evidence.get(one), await evidence.text(one)
            confidence = await tags_of(row, text, words=words)
            await evidence.set_tags(one, list(confidence), confidence=confidence, tagger=TAGGER_VERSION)
        except UnknownEvidence:  # it was deleted meanwhile
            continue
        cases.add(case)
    return (found[-1][0] if found else 0), cases
