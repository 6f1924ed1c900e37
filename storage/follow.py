"""What keeps another store equal to PostgreSQL, and what it is told of the changes there.

A transaction that changes something which a follower copies leaves *marks* in that very transaction
(triggers do, see `storage/migrations/versions/0023_followers.py` and 0031): "this may be different now". A
follower never gets the change itself. It reads how the marked things are now and makes the other store
hold the same, so marks may come in any order, twice, or long after.

StoreBesideError   a store beside PostgreSQL did not do what it was asked
├── StoreAway      it does not answer now: the same call may succeed later
└── StoreUnfit     it answers, and cannot be used as it is: the text says what to do
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Kind = Literal[
    "case", "evidence", "chunks", "vector", "mention", "similar", "entity", "poi", "relation", "same"
]  # fmt: skip
"""What a mark is about, and what its `node` is the id of:

case      the row of a case came, went, was hidden or renamed; `node` is 0. When it is gone all of the case
          has gone with it, and no other mark tells so
evidence  the row of `node`, evidence, came, went, was hidden, retitled, tagged or moved
chunks    chunks of `node`, evidence, came, went or changed; their vectors went with them
vector    the vector of `node`, a chunk, was set or taken away
mention   what the chunks of `node`, evidence, mention
similar   the similarity edges whose `source` is `node`, a chunk
entity    the row of `node`, an entity; its mentions went with it
poi       the row of `node`, a person of interest
relation  what the chunks of `node`, evidence, say that entities do to each other; of chunks that went the
          mark of the chunks alone tells
same      which entities people found to be the same as `node`, the lesser id of each pair
"""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Mark:
    """Something of a case may have changed."""

    id: int
    case: str
    kind: Kind
    node: int


@dataclass(frozen=True)
class Comparison:
    """How another store compares with PostgreSQL, in numbers and with some examples.

    Attributes:
        compared: Things that PostgreSQL holds, or the other store.
        missing: Of those the other store lacks.
        spare: Of those it holds and PostgreSQL does not.
        different: Of those that both hold, but not alike.
        examples: A few sentences, such as "chunk 17 of case c1 is missing".
    """

    compared: int
    missing: int
    spare: int
    different: int
    examples: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether both hold the same."""
        return not (self.missing or self.spare or self.different)


class StoreBesideError(Exception):
    """A store beside PostgreSQL did not do what it was asked."""


class StoreAway(StoreBesideError):
    """The store does not answer now; the same call may succeed later, and may have had its effect."""


class StoreUnfit(StoreBesideError):
    """The store answers, and cannot be used as it is; the text says what to do."""


class Follower(Protocol):
    """Copies a part of PostgreSQL into another store.

    Attributes:
        name: `vectors` or `graph`: one store for each need.
        kinds: What it copies; it is marked nothing else.
        target: Which store, without user or password; another target is filled from the beginning.
    """

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> frozenset[Kind]: ...

    @property
    def target(self) -> str: ...

    async def apply(self, marks: Sequence[Mark]) -> None:
        """Make the store hold of the marked things what PostgreSQL, which is read now, holds of them.

        Does no harm twice, in another order, or when it is broken off. What is gone in PostgreSQL is
        deleted. When this returns the store has it for good.

        Raises:
            StoreAway, StoreUnfit: Some of it may be done.
        """

    async def check(self) -> str:
        """Product and version, such as "Qdrant 1.17.0"; quick.

        Raises:
            StoreAway, StoreUnfit: It cannot be used.
        """

    async def wipe(self) -> None:
        """Leave the store empty, and in the form that this release needs.

        Raises:
            StoreAway, StoreUnfit: Some of it may be done.
        """

    async def compare(self) -> Comparison:
        """Go through everything that both hold. Changes nothing; what changes meanwhile may count.

        Raises:
            StoreAway, StoreUnfit: The store cannot be read.
        """

    async def aclose(self) -> None:
        """Close the connections."""
