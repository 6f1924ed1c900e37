"""The stages of a search by Detective mode, and what its user thinks of what it found.

Each stage reads the cases anew and takes up the drafts of those before it; what has gone meanwhile falls out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from handlers.detective_aliases import aliases_of_people
from handlers.detective_between import LOCAL, between
from handlers.detective_drafts import Draft, from_json
from handlers.detective_ends import end_of, ways
from handlers.detective_explained import explained
from handlers.detective_keys import names_of_people
from handlers.detective_near import alike_names, near_evidence
from handlers.detective_paths import around_evidence, named_elsewhere, shared_across
from handlers.detective_rank import ordered, standings
from handlers.detective_web import Web, weave
from handlers.job import Job, Permanent
from machines.detective import (
    DropFindings,
    Explained,
    ExplainFindings,
    Matched,
    MatchMeaning,
    RankFindings,
    RecordVerdict,
    TraverseCases,
    Traversed,
    Weighed,
)
from storage.detective import CaseFacts, DetectiveFacts
from storage.findings import FindingRow, Findings
from storage.graph import rarity

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

ENDS = 150
"""Persons of interest between whom paths are looked for, the most named; pairs grow with the square."""

SUBSTITUTES = 120
"""Where nobody has entered a person of interest, so many people are of whom running text says most."""


class OwnCases(Protocol):
    """The part of the store of cases that a search needs; see `storage.cases.Cases`."""

    async def titles_of(self, user: str) -> dict[str, str]:
        """The cases in which the user has a role and that do not wait to be deleted: id → title."""


@dataclass(frozen=True)
class Stores:
    """Where a search reads and writes."""

    cases: OwnCases
    facts: DetectiveFacts
    findings: Findings


async def traverse_cases(effect: TraverseCases, job: Job, *, stores: Stores) -> Traversed:
    """Find paths in what the cases name.

    Raises:
        Permanent: The user is no member of any of the cases, or what the search is about is in none of them.
    """
    web = await _web(effect.user, effect.cases, effect.about, job, stores)
    drafts = await _aside(job, _paths, web, effect.about)
    await stores.findings.put_drafts(
        effect.search, effect.user, "traversing", [draft.to_json() for draft in drafts]
    )
    return Traversed(
        effect=job.id,
        nodes=len(web.identities) + len(web.files),
        edges=len(web.units),
        paths=len(drafts),
    )


async def match_meaning(effect: MatchMeaning, job: Job, *, stores: Stores) -> Matched:
    """Find what is near in meaning or spelling and has no link.

    Raises:
        Permanent: As `traverse_cases`.
    """
    web = await _web(effect.user, effect.cases, effect.about, job, stores)
    drafts: list[Draft] = []
    uncompared = 0
    abouts = [end.file for node in effect.about if (end := end_of(web, node)) is not None]
    if len(effect.about) < 2 and -1 not in abouts:
        sections = [await stores.facts.sections(case.case) for case in web.cases]
        await job.check()
        about = abouts[0] if abouts else None
        drafts, left_out = await _aside(job, near_evidence, web, sections, about)
        embedded = {int(node) for each in sections for node in each.evidence}
        uncompared = sum(file.node not in embedded for file in web.files) + left_out
    if len(effect.about) < 2:
        names = await _aside(job, alike_names, web)
        about_nodes = _members_of(web, effect.about)
        drafts += [d for d in names if not effect.about or about_nodes & {step.node for step in d.steps}]
    await stores.findings.put_drafts(
        effect.search, effect.user, "matching", [draft.to_json() for draft in drafts]
    )
    return Matched(effect=job.id, pairs=len(drafts), uncompared=uncompared)


async def rank_findings(effect: RankFindings, job: Job, *, stores: Stores) -> Weighed:
    """Order what was found, by how much it says and where it stands.

    Raises:
        Permanent: As `traverse_cases`.
    """
    web = await _web(effect.user, effect.cases, effect.about, job, stores)
    by_stage = await stores.findings.drafts(effect.search)
    drafts = [from_json(one) for stage in ("traversing", "matching") for one in by_stage.get(stage, [])]
    known = web.member_at.keys() | web.file_at.keys()
    drafts = [draft for draft in drafts if all(step.node in known for step in draft.steps)]
    verdicts = await stores.findings.verdicts(effect.user, [case.case for case in web.cases])
    await job.check()
    standing, _ = await _aside(job, standings, web, drafts, effect.about, verdicts.nodes)
    best = ordered(
        drafts,
        standing,
        accepted=verdicts.nodes,
        dismissed=verdicts.dismissed,
        limit=effect.limit,
    )
    await stores.findings.put_drafts(effect.search, effect.user, "ranking", [one.to_json() for one in best])
    return Weighed(effect=job.id, ranked=len(best))


async def explain_findings(effect: ExplainFindings, job: Job, *, stores: Stores) -> Explained:
    """Give each finding its sources and its sentence, and store those that its user may still see."""
    drafts = [from_json(one) for one in (await stores.findings.drafts(effect.search)).get("ranking", [])]
    titles = await stores.cases.titles_of(effect.user)
    rows: list[FindingRow] = []
    for place, draft in enumerate(drafts):
        await job.progress(place, len(drafts), "findings")
        nodes = await stores.facts.described(sorted({*(step.node for step in draft.steps), *draft.also}))
        nodes = {node: end for node, end in nodes.items() if end.case in titles}
        if all(step.node in nodes for step in draft.steps):
            row = await explained(draft, nodes, titles, stores.facts)
            if row is not None:
                rows.append(row)
    await job.check()
    kept = await stores.findings.put(effect.search, effect.user, rows)
    kinds = Counter(row.kind for row in kept)
    return Explained(
        effect=job.id, fingerprints=[row.fingerprint for row in kept], kinds=dict(sorted(kinds.items()))
    )


async def record_verdict(effect: RecordVerdict, job: Job, *, stores: Stores) -> None:
    """Keep what the user thinks of a finding; of one that is not theirs to see any more nothing is kept."""
    titles = await stores.cases.titles_of(effect.user)
    known = await stores.findings.judge(
        effect.search,
        effect.user,
        effect.finding,
        effect.value,
        cases=titles,
        effect=job.id,
        at=effect.at,
    )
    if not known:
        logger.info(
            "A verdict on a finding that its user cannot see was dropped.", extra={"action": "verdict.drop"}
        )


async def drop_findings(effect: DropFindings, job: Job, *, findings: Findings) -> None:
    """Delete what a search has left."""
    await findings.drop(effect.search)


async def _aside(job: Job, work: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
    """Compute in a thread, looking every second whether somebody still waits for it."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **keywords))
    while not task.done():
        await asyncio.wait({task}, timeout=1.0)
        await job.check()
    return task.result()


async def _web(user: str, wanted: Sequence[str], about: Sequence[int], job: Job, stores: Stores) -> Web:
    """The cases of a search as one, as they are now."""
    titles = await stores.cases.titles_of(user)
    chosen = [case for case in sorted(titles) if not wanted or case in wanted]
    if missing := len(set(wanted) - titles.keys()):
        which = "any" if missing == len(wanted) else f"{missing}"
        raise Permanent(f"you are no member of {which} of these cases (any more); begin a search in others")
    if not chosen:
        raise Permanent("you have no case yet; open one, and add evidence")
    persons = [person for case in chosen for person in await stores.facts.persons(case)]
    people = names_of_people(persons) | aliases_of_people(persons)
    facts: list[CaseFacts] = []
    for place, case in enumerate(chosen):
        await job.progress(place, len(chosen), "cases")
        facts.append(await stores.facts.facts(case, titles[case], people))
    web = await _aside(job, weave, facts)
    if any(end_of(web, node) is None for node in about):
        raise Permanent(
            "what this search is about is in none of its cases (any more); choose another person or file"
        )
    return web


def _paths(web: Web, about: Sequence[int]) -> list[Draft]:
    ends = [end for node in about if (end := end_of(web, node)) is not None]
    if len(ends) == 2:
        return ways(web, ends[0], ends[1])
    if ends and ends[0].file >= 0:
        return around_evidence(web, ends[0].file)
    several = len(web.cases) > 1
    across = named_elsewhere(web) + shared_across(web) if several else []
    if not ends:
        return across + between(web, _ends(web))
    own = ends[0].identity
    members = {web.members[m].node for m in web.identities[own]}
    drafts = between(web, sorted({own, *_ends(web)}))
    return [
        draft
        for draft in across + drafts
        if members & {draft.steps[0].node, draft.steps[-1].node, *draft.also, *(s.node for s in draft.steps)}
    ]


def _ends(web: Web) -> list[int]:
    """The identities between which paths are looked for."""
    everyone = range(len(web.identities))
    persons = [i for i in everyone if web.is_person_of_interest(i) and web.common[i]]
    if not persons:
        people = [i for i in everyone if web.members[web.identities[i][0]].kind == "person"]
        # As a word of a text: often enough to matter, and not everywhere.
        says = {i: int(web.spoken_of[i]) * rarity(int(web.common[i]), web.texts) for i in people}
        says = {i: weight * (1.0 if web.breadth[i] > 1 else LOCAL) for i, weight in says.items()}
        return sorted(people, key=lambda i: (-says[i], i))[:SUBSTITUTES]
    return sorted(persons, key=lambda i: (-web.common[i], i))[:ENDS]


def _members_of(web: Web, about: Sequence[int]) -> set[int]:
    """The nodes of everything that is the same as what a search is about."""
    ends = [end for node in about if (end := end_of(web, node)) is not None]
    return {web.members[m].node for end in ends if end.identity >= 0 for m in web.identities[end.identity]}
