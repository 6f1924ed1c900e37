"""What is alike and has no link: documents near in meaning, names near in spelling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from handlers.detective_drafts import Draft, Step, fingerprint
from handlers.detective_units import Ints, subject_of
from handlers.detective_web import Web
from handlers.found import level
from handlers.poi_names import key_of
from storage.detective import SECTION, Sections

NEAR = 0.6
"""Least cosine of two sections that say similar things."""

STANDS_OUT = 2.5
"""So many standard deviations above what two sections of these cases usually have."""

RUNNING = 0.3
"""Least share of words in lower case of a section that is compared: lists and headers are all alike."""

WORDS = 60
"""Least words of a section that is compared; below there is hardly more than a header."""

SERIES = 80
"""Similarity of two titles, of 100, from which they are one series, such as a monthly reminder."""

PAIRS = 300
BLOCK = 2_000
"""Sections compared with all others at a time: 160 MB with 20,000 others."""

SECTIONS = 20_000
"""Sections of all cases together that are compared: two seconds. Of more, those of the newest are."""

COMMON_GROUND = 0.5
"""Evidence that shares a name rarer than this has a link, and is none of the findings here."""

SPELT_ALIKE = 88
"""Least similarity, of 100, of two names."""


def near_evidence(
    web: Web, sections: Sequence[Sections], about: int | None = None
) -> tuple[list[Draft], int]:
    """Pairs of evidence with sections near in meaning, without copies, conversations or rare names in common.

    Each piece of evidence is told with its nearest one only, the nearest pairs first.

    Args:
        sections: Of each case of the web.
        about: Place in `web.files` of evidence that every pair must contain; None for all.

    Returns:
        The drafts, and how many pieces of evidence were not compared because there are too many.
    """
    file = np.array([web.file_at.get(int(e), -1) for s in sections for e in s.evidence], dtype=np.int64)
    kept = [s.vectors for s in sections if len(s.evidence)]
    if not kept:
        return [], 0
    vectors = np.concatenate(kept)
    section = np.concatenate([s.section for s in sections if len(s.evidence)])
    nodes = np.concatenate([s.evidence for s in sections])
    newest = np.argsort(nodes, kind="stable")
    running = _running(web, nodes, np.concatenate([s.section for s in sections]))
    newest = newest[(file[newest] >= 0) & running[newest]]
    known = np.sort(newest[-SECTIONS:])
    left_out = len(np.unique(file[newest])) - len(np.unique(file[known]))
    vectors, section, file = vectors[known], section[known], file[known]
    family = web.family[file]
    found: dict[tuple[int, int], tuple[float, int, int]] = {}
    usual = _usual(vectors)
    rows = np.flatnonzero(file == about) if about is not None else np.arange(len(file))
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        cosines = vectors[block] @ vectors.T
        cosines[family[block][:, None] == family[None, :]] = -1.0
        best = np.argmax(cosines, axis=1)
        for row, other, cosine in zip(
            block.tolist(), best.tolist(), cosines[np.arange(len(block)), best].tolist(), strict=True
        ):
            if cosine < max(NEAR, usual):
                continue
            (a, of_a), (b, of_b) = sorted([(int(file[row]), row), (int(file[other]), other)])
            if (a, b) not in found or cosine > found[a, b][0]:
                found[a, b] = (cosine, int(section[of_a]), int(section[of_b]))
    ordered = sorted(found, key=lambda pair: (-found[pair][0], pair))
    told: set[int] = set()
    drafts: list[Draft] = []
    for a, b in ordered:
        if len(drafts) == PAIRS:
            break
        one, other = web.files[a], web.files[b]
        if (about is None and (a in told or b in told)) or _have_common_ground(web, a, b):
            continue
        if fuzz.ratio(subject_of(one.title), subject_of(other.title)) >= SERIES:
            continue
        told |= {a, b}
        cosine, of_a, of_b = found[a, b]
        drafts.append(
            Draft(
                kind="near",
                steps=(
                    Step("evidence", one.node, ((of_a, 0),)),
                    Step("evidence", other.node, ((of_b, 0),)),
                ),
                edges=("near",),
                strength=float(min(1.0, max(cosine, 1e-6))),
                confidence=float(min(1.0, max(cosine, 0.0))),
                fingerprint=fingerprint("near", f"sha256:{one.sha256}", f"sha256:{other.sha256}"),
                cosine=float(cosine),
            )
        )
    return drafts, left_out


def alike_names(web: Web) -> list[Draft]:
    """Persons of interest of one case whose names are spelt nearly like somebody's of another case."""
    persons = [m for m, one in enumerate(web.members) if one.what == "poi"]
    others = [m for m, one in enumerate(web.members) if one.kind in ("poi", "person")]
    mine, theirs = ([level(key_of(web.members[m].name)) for m in group] for group in (persons, others))
    if not mine or not theirs:
        return []
    alike = process.cdist(mine, theirs, scorer=fuzz.ratio, score_cutoff=SPELT_ALIKE, dtype=np.float32)
    best: dict[tuple[int, int], tuple[float, int, int]] = {}
    for row, column in np.argwhere(alike > 0).tolist():
        a, b = persons[row], others[column]
        pair = (int(web.identity_of[a]), int(web.identity_of[b]))
        if pair[0] == pair[1] or web.members[a].case == web.members[b].case or " " not in theirs[column]:
            continue
        pair = (min(pair), max(pair))
        score = float(alike[row, column])
        if pair not in best or score > best[pair][0]:
            best[pair] = (score, a, b)
    drafts = []
    for pair in sorted(best):
        score, a, b = best[pair]
        one, other = web.members[a], web.members[b]
        steps: list[Step] = [Step("poi", one.node), Step(other.what, other.node)]
        edges = ["alike"]
        own = web.mentions_of(int(web.identity_of[b]))
        here = [m for m in own.tolist() if int(web.through[m]) == b]
        if here:
            mention = here[0]
            steps.append(
                Step(
                    "evidence",
                    web.files[int(web.unit_file[web.units[mention]])].node,
                    ((int(web.passages[mention]), other.node),),
                )
            )
            edges.append("named")
        drafts.append(
            Draft(
                kind="alike",
                steps=tuple(steps),
                edges=tuple(edges),
                strength=score / 100,
                confidence=min(0.6, 0.6 * (score - 70) / 30),
                fingerprint=fingerprint("alike", *(web.key_of(one) for one in pair)),
                cosine=score / 100,
            )
        )
    return drafts


def _running(web: Web, evidence: Ints, section: Ints) -> NDArray[np.bool_]:
    """Which sections are running text of some length."""
    words: dict[tuple[int, int], tuple[int, int]] = {}
    for (node, ordinal), (count, prose) in web.prose_of.items():
        before = words.get((node, ordinal // SECTION), (0, 0))
        words[node, ordinal // SECTION] = (before[0] + count, before[1] + prose)
    found = [words.get(key, (0, 0)) for key in zip(evidence.tolist(), section.tolist(), strict=True)]
    return np.array([count >= WORDS and prose >= RUNNING * count for count, prose in found], dtype=bool)


def _usual(vectors: NDArray[np.float32]) -> float:
    """What stands out from how near sections of these cases are to each other; by an even sample."""
    sample = vectors[:: max(1, len(vectors) // 500)]
    cosines = (sample @ sample.T)[np.triu_indices(len(sample), 1)]
    return float(cosines.mean() + STANDS_OUT * cosines.std()) if len(cosines) > 100 else 0.0


def _have_common_ground(web: Web, a: int, b: int) -> bool:
    names_a, names_b = (_names_in(web, file) for file in (a, b))
    return any(min(names_a[name], names_b[name]) > COMMON_GROUND for name in names_a.keys() & names_b.keys())


def _names_in(web: Web, file: int) -> dict[int, float]:
    units = np.flatnonzero(web.unit_file[: web.texts] == file)
    if not len(units):
        return {}
    # The units of a file follow each other, and so do their mentions.
    first, last = web.unit_starts[units[0]], web.unit_starts[units[-1] + 1]
    rare = web.weights[first:last] / web.says[first:last]
    names: dict[int, float] = {}
    for name, share in zip(web.named[first:last].tolist(), rare.tolist(), strict=True):
        names[name] = max(names.get(name, 0.0), share)
    return names
