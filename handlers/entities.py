"""All that a text names: overlapping readings resolved, POIs before guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from handlers.citations import citations
from handlers.found import Found, apart
from handlers.names import organisations, people
from handlers.patterns import addresses, amounts, dates, phones
from handlers.poi_names import PoiNames
from handlers.proper_names import proper_names


def entities(text: str, pois: PoiNames, read: Sequence[Found] = ()) -> list[Found]:
    """Everything named in a text, in its order.

    Of readings that overlap the surer one stays: POIs, then what has a form of its own, then
    organisations, then people, then what a language model has `read`. A person whose name is a slip
    of a POI's is that POI. A POI's mail address counts twice: as an address, and as the POI.
    """
    surest = [
        *pois.find(text),
        *addresses(text),
        *citations(text),
        *amounts(text),
        *dates(text),
        *phones(text),
    ]
    found = apart([*surest, *organisations(text), *people(text), *read, *proper_names(text)])
    settled = [_settle(one, pois) for one in found]
    both = [*settled, *pois.find_addresses(text)]
    return sorted(set(both), key=lambda one: (one.start, one.end, one.kind, one.key))


def _settle(one: Found, pois: PoiNames) -> Found:
    if one.kind == "person" and (poi := pois.near(one.name)) is not None:
        return replace(one, kind="poi", key=str(poi.id), name=poi.name, poi=poi.id)
    return one
