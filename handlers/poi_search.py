"""One person of interest is looked for in every passage of a case."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from handlers.job import Job, Permanent, Temporary
from handlers.link import TRIES, persons
from handlers.poi_names import PoiNames, words_to_look_for
from machines.poi_search import FoundPlace, Searched, SearchPoi, Sized, SizePoiSearch
from storage.poi_mentions import Passage, PersonPlace, PoiMentions, Stretch
from storage.pois import PoiRow, Pois

PASSAGES_PER_S = 50_000
"""Passages that a worker searches in a second, by `tests/bench/bench_pois.py`."""
ASK_FROM = 250_000
"""Passages from which somebody is asked first: up to there it takes about five seconds."""

STRETCH = 1000
"""Passages that are searched at once; nobody else stores mentions of the case meanwhile."""
SHOWN = 12
"""Pieces of evidence that are told of, those with the most mentions."""
AROUND = 90
"""Characters of a snippet on either side of the name."""

TellChanged = Callable[[str], Awaitable[None]]
"""Has the open pages of a case read its entities again."""


class _CalledOtherwise(Exception):
    """The person has another name now than the one that is looked for."""


async def size_poi_search(effect: SizePoiSearch, job: Job, *, mentions: PoiMentions) -> Sized:
    """Tell how many passages there are, and whether that is so many that somebody should be asked."""
    chunks = await mentions.count(effect.case)
    seconds = round(chunks / PASSAGES_PER_S, 3)
    return Sized(effect=job.id, chunks=chunks, seconds=seconds, large=chunks > ASK_FROM)


async def search_poi(
    effect: SearchPoi, job: Job, *, mentions: PoiMentions, pois: Pois, tell_changed: TellChanged
) -> Searched:
    """Find every place that names the person, in place of those that were known.

    Evidence that is linked meanwhile is not missed (see `storage.locks`). A search that was stopped
    has replaced what it came by, and left the rest.

    Raises:
        Permanent: The person of interest is gone.
        Temporary: The person was renamed again and again meanwhile.
    """
    for _ in range(TRIES):
        try:
            tally = await _search(effect, job, mentions, pois)
        except _CalledOtherwise:
            continue
        if tally.added or tally.removed:
            await tell_changed(effect.case)
        return await _told(tally, job, mentions)
    raise Temporary("the person of interest keeps changing; it is looked for when it rests")


@dataclass
class _InEvidence:
    """What one piece of evidence names: starts of mentions, and the first place of each sort."""

    exact: set[int] = field(default_factory=set)
    slips: set[int] = field(default_factory=set)
    first: tuple[Passage, int, int] | None = None
    first_slip: tuple[Passage, int, int] | None = None

    def add(self, passage: Passage, start: int, end: int, *, slip: bool) -> None:
        place = (passage, start, end)
        if slip:
            self.slips.add(start)
            if self.first_slip is None or start < self.first_slip[1]:
                self.first_slip = place
        else:
            self.exact.add(start)
            if self.first is None or start < self.first[1]:
                self.first = place

    @property
    def places(self) -> set[int]:
        return self.exact | self.slips


@dataclass
class _Tally:
    """What has been found until now, and what was known before, by evidence."""

    found: dict[int, _InEvidence] = field(default_factory=dict)
    before: dict[int, set[int]] = field(default_factory=dict)

    @property
    def added(self) -> int:
        return sum(len(one.places - self.before.get(key, set())) for key, one in self.found.items())

    @property
    def removed(self) -> int:
        return sum(
            len(starts - (self.found[key].places if key in self.found else set()))
            for key, starts in self.before.items()
        )


@dataclass
class _Names:
    """The person's names, and what is known of how others' compare with them."""

    row: PoiRow
    names: PoiNames
    words: list[str]
    near: dict[str, bool] = field(default_factory=dict)

    def is_slip(self, name: str) -> bool:
        """Whether a name must be the person's, misspelt."""
        if name not in self.near:
            nearest = self.names.near(name)
            self.near[name] = nearest is not None and nearest.id == self.row.id
        return self.near[name]

    def find(self, passages: Sequence[Passage]) -> list[tuple[Passage, int, int]]:
        """The places where the person is named, in full, by title, alias or address."""
        return [
            (passage, passage.start + one.start, passage.start + one.end)
            for passage in passages
            for one in (*self.names.find(passage.text), *self.names.find_addresses(passage.text))
            if one.poi == self.row.id
        ]


async def _search(effect: SearchPoi, job: Job, mentions: PoiMentions, pois: Pois) -> _Tally:
    rows = await pois.of_case(effect.case)
    mine = [row for row in rows if row.id == effect.poi]
    if not mine:
        raise Permanent("the person of interest does not exist any more")
    # All are looked for, so that a title with a surname is nobody's where two share the surname.
    names = _Names(mine[0], PoiNames(persons(rows)), words_to_look_for(persons(mine)))
    chunks = await mentions.chunks(effect.case)
    tally = _Tally()
    for first in range(0, len(chunks), STRETCH):
        await job.progress(first, len(chunks), "passages")
        last = min(first + STRETCH, len(chunks)) - 1
        async with mentions.stretch(effect.case, effect.poi, chunks[first], chunks[last]) as here:
            await _search_stretch(here, names, tally)
    await mentions.finish(effect.case, effect.poi, names.row.name)
    await job.progress(len(chunks), len(chunks), "passages")
    return tally


async def _search_stretch(here: Stretch, names: _Names, tally: _Tally) -> None:
    called = await here.called()
    if called is None:
        raise Permanent("the person of interest does not exist any more")
    if called != (names.row.name, names.row.aliases):
        raise _CalledOtherwise
    exact = await asyncio.to_thread(names.find, await here.passages(names.words))
    if joined := await here.joined():
        exact = [place for place in exact if not _is_joined(place, joined)]
    before = await here.before()
    # A misspelt name has none of the words: it is found among the people whom linking has recognised,
    # or where it was taken for the person's before.
    alike = [entity for entity, name in (await here.names()).items() if names.is_slip(name)]
    people = await here.people(alike)
    taken = {(passage.chunk, start) for passage, start, _ in exact}
    slips = [
        place
        for place in (*people, *(place for place in before if names.is_slip(place.shown)))
        if (place.passage.chunk, place.start) not in taken and not _overlaps(place, exact)
    ]
    await here.replace(
        names.row.name,
        [
            *((passage.chunk, start, end) for passage, start, end in exact),
            *((place.passage.chunk, place.start, place.end) for place in slips),
        ],
    )
    for place in before:
        tally.before.setdefault(place.passage.evidence, set()).add(place.start)
    for passage, start, end in exact:
        tally.found.setdefault(passage.evidence, _InEvidence()).add(passage, start, end, slip=False)
    for place in slips:
        found = tally.found.setdefault(place.passage.evidence, _InEvidence())
        found.add(place.passage, place.start, place.end, slip=not _is_named(place, names))


def _overlaps(place: PersonPlace, exact: Sequence[tuple[Passage, int, int]]) -> bool:
    return any(
        passage.chunk == place.passage.chunk and start < place.end and place.start < end
        for passage, start, end in exact
    )


def _is_joined(place: tuple[Passage, int, int], joined: Sequence[tuple[int, int, int]]) -> bool:
    """Whether the place is that of an entity which is the person by somebody's verdict."""
    passage, start, end = place
    return any(chunk == passage.chunk and first < end and start < last for chunk, first, last in joined)


def _is_named(place: PersonPlace, names: _Names) -> bool:
    """Whether a place that another person had is no slip: what stands there is the name itself."""
    return any(one.poi == names.row.id for one in names.names.find(place.shown))


async def _told(tally: _Tally, job: Job, mentions: PoiMentions) -> Searched:
    best = sorted(tally.found.items(), key=lambda told: (-len(told[1].places), told[0]))[:SHOWN]
    titles = await mentions.titles(evidence for evidence, _ in best)
    return Searched(
        effect=job.id,
        mentions=sum(len(one.places) for one in tally.found.values()),
        slips=sum(len(one.slips - one.exact) for one in tally.found.values()),
        evidence=len(tally.found),
        added=tally.added,
        removed=tally.removed,
        places=[_place(evidence, titles[evidence], found) for evidence, found in best if evidence in titles],
    )


def _place(evidence: int, title: str, found: _InEvidence) -> FoundPlace:
    place = found.first or found.first_slip
    assert place is not None
    passage, start, end = place
    snippet, marked = _snippet(passage.text, start - passage.start, end - passage.start)
    return FoundPlace(
        evidence=evidence,
        title=title,
        mentions=len(found.places),
        slips=len(found.slips - found.exact),
        node=passage.chunk,
        page=passage.page,
        start=start,
        end=end,
        snippet=snippet,
        marked=marked,
        slip=found.first is None,
    )


def _snippet(text: str, start: int, end: int) -> tuple[str, tuple[int, int]]:
    """What stands around a name, in one line, and where the name stands in it."""
    left, right = max(0, start - AROUND), min(len(text), end + AROUND)
    if left:  # whole words only
        left = start - len(text[left:start].partition(" ")[2])
    if right < len(text):
        right = end + len(text[end:right].rpartition(" ")[0])
    before = " ".join(text[left:start].split())
    named = " ".join(text[start:end].split())
    after = " ".join(text[end:right].split())
    before = ("… " if left else "") + before + (" " if before and text[start - 1].isspace() else "")
    after = (" " if after and text[end].isspace() else "") + after + (" …" if right < len(text) else "")
    return before + named + after, (len(before), len(before) + len(named))
