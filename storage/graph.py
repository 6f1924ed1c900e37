"""What ranking needs of the graph of a case: names, mentions, neighbourhoods, and where a passage stands.

Nodes are chunks, entities, persons of interest and evidence; their ids come from one sequence.
An entity that a person has rejected is no part of the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class NodeKind(IntEnum):
    """What a node is."""

    CHUNK = 0
    ENTITY = 1
    POI = 2
    EVIDENCE = 3


class EdgeKind(IntEnum):
    """Why two nodes are joined."""

    MENTION = 0
    """A chunk mentions an entity; weight: how often."""
    IS = 1
    """An entity is a person of interest, or another entity by a person's verdict; weight 1."""
    NEXT = 2
    """Two chunks follow each other in their source; weight 1."""
    SIMILAR = 3
    """Two chunks say similar things; weight: cosine."""
    PART = 4
    """A chunk is part of its evidence; weight 1."""
    RELATION = 5
    """The evidence says that one entity does something to another; weight: how often."""


MOST_NAMES = 50_000
"""Entities of a case that a question may name."""

NAMED_KINDS = ("poi", "person", "organisation", "email", "phone", "citation", "place", "event", "name")
"""Kinds of entities that a question may name."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name by which a question may mean a node.

    Attributes:
        node: Of the entity or person of interest.
        kind: The entity's kind; `poi` for a person of interest.
        text: The name or alias as written.
        entities: The entities it stands for: itself and what is the same by a person's verdict, or
            those that are the person of interest.
        accepted: A person has confirmed the entity, or entered the person of interest.
    """

    node: int
    kind: str
    text: str
    entities: tuple[int, ...]
    accepted: bool


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A part of a case's graph as arrays, each pair of nodes joined at most once a kind.

    Attributes:
        nodes: Shape (n,), int64: ids, rising.
        kinds: Shape (n,), uint8: `NodeKind`.
        common: Shape (n,), int32: for an entity, how many chunks of the whole case mention it; else 0.
        accepted: Shape (n,), bool: entities that a person has confirmed.
        sources: Shape (m,), int32: position in `nodes`; of a mention the chunk, of a part the
            chunk, of `IS` the entity, else the smaller id.
        targets: Shape (m,), int32.
        edge_kinds: Shape (m,), uint8: `EdgeKind`.
        weights: Shape (m,), float64, as `EdgeKind` says.
        chunks: How many chunks the whole case has.
    """

    nodes: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    common: NDArray[np.int32]
    accepted: NDArray[np.bool_]
    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    edge_kinds: NDArray[np.uint8]
    weights: NDArray[np.float64]
    chunks: int


@dataclass(frozen=True)
class Passage:
    """A chunk with its place; `text` is exactly characters `start`..`end` of its evidence's text.

    `page` counts from 1, 0 where the source has none; `boxes` are `[x0, y0, x1, y1]` in points.
    """

    node: int
    evidence: int
    title: str
    page: int
    start: int
    end: int
    text: str
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    """The evidence's: mail headers, PDF document facts."""


@dataclass(frozen=True)
class NamedAt:
    """An entity stands at characters `start`..`end` of the text of the chunk's evidence.

    `identity` is the person of interest that the entity is, or else the least of the entities that are
    the same by a person's verdict, in most cases the entity itself.
    """

    chunk: int
    start: int
    end: int
    kind: str
    identity: int


@dataclass(frozen=True)
class Limits:
    """How large a neighbourhood may grow."""

    chunks: int = 1200
    entities: int = 700
    edges: int = 20_000
    common: int = 200
    """An entity mentioned by more chunks than this leads to no further chunk."""
    rows: int = 8_000
    """Mentions read on the way out, the rarest entities' first."""


@dataclass(frozen=True)
class ReadNames:
    """The names of a case as of one moment.

    Attributes:
        names: As `Graph.names` tells them.
        digest: As `Graph.names_digest` tells it; empty where there are fewer names than entities may be
            told, so that whatever comes is told, too.
    """

    names: list[Name]
    digest: str


class Graph(Protocol):
    """The graph of every case; the same data gives the same answer in the same order.

    Evidence that waits to be deleted is no part of it, nor what only such evidence mentions.
    """

    async def names(self, case: str, *, limit: int = MOST_NAMES) -> list[Name]:
        """Names of people, organisations, addresses, numbers and citations, ordered by node and text.

        Persons of interest come with every alias. Of more than `limit` entities the accepted
        ones and then the oldest are named.
        """

    async def names_version(self, case: str) -> str:
        """A text that is another one after every change of what `names` tells, and now and then without."""

    async def names_digest(self, case: str, *, limit: int = MOST_NAMES) -> str:
        """A text that is the same only while `names` tells the same; quicker to come by than the names."""

    async def read_names(self, case: str, *, limit: int = MOST_NAMES) -> ReadNames:
        """`names` with their digest, both as of one moment."""

    async def commonness(self, case: str, entities: Sequence[int]) -> tuple[dict[int, int], int]:
        """How many chunks mention each entity (absent: none), and how many chunks the case has."""

    async def mentions(self, case: str, entities: Sequence[int], *, limit: int) -> list[tuple[int, int, int]]:
        """`(chunk, entity, count)` ordered by chunk and entity; at most `limit` chunks an entity."""

    async def around(
        self, case: str, chunks: Sequence[int], entities: Sequence[int], limits: Limits
    ) -> Neighbourhood:
        """Chunks and entities with what lies one or two hops away, up to `limits`.

        The given nodes come first; nodes of other cases and unknown ones are left out. Of
        mentioned entities the rarer come first, of further chunks those that share more and
        rarer entities. An entity that joins nothing stays only where it was given.
        """

    async def whole(self, case: str) -> Neighbourhood:
        """The whole graph of a case."""

    async def version(self, case: str) -> str:
        """A text that differs whenever the case's graph may have changed; votes do not count."""

    async def passages(self, case: str, chunks: Sequence[int]) -> dict[int, Passage]:
        """The passages of those chunks that the case has."""

    async def labels(self, case: str, nodes: Sequence[int]) -> dict[int, str]:
        """What to call a node: an entity's or person's name, an evidence's title, for a chunk its
        evidence's title and page."""

    async def named_at(self, case: str, chunks: Sequence[int]) -> list[NamedAt]:
        """Where the chunks mention entities, ordered by chunk, start and identity."""


def rarity(chunks: int, size: int) -> float:
    """How much it says of a chunk that it holds what `chunks` of `size` chunks hold.

    The inverse document frequency of BM25, above 0 however common the thing is.
    """
    return math.log1p((max(size - chunks, 0) + 0.5) / (chunks + 0.5))
