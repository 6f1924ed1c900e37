"""What is wrong with a chain, row by row, each fault named in a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import orjson

from storage.custody_heads import Head
from storage.sealing import marks

FIRST = "0" * 64
"""What the first row of a chain holds in place of a previous hash."""


@dataclass(frozen=True)
class Problem:
    """What is wrong at row `seq`, as a sentence."""

    seq: int
    what: str


@dataclass(frozen=True)
class Verdict:
    """What verifying one chain has shown.

    Attributes:
        rows: How many rows are there.
        signed_to: The last row that a valid signed head vouches for, 0 for none. A later row
            could have been cut off without a trace.
        forgotten: How many sealed texts were deleted with what they quoted.
        last: Hash of the last row.
        problems: Empty when nothing was changed or dropped.
    """

    topic: str
    rows: int
    signed_to: int
    problems: list[Problem] = field(default_factory=list)
    forgotten: int = 0
    last: str = FIRST

    @property
    def ok(self) -> bool:
        return not self.problems


def chain_hash(previous: str, content: bytes) -> str:
    """Hex SHA-256 of the previous hash's 32 bytes followed by the content."""
    return hashlib.sha256(bytes.fromhex(previous) + content).hexdigest()


class Check:
    """Sees the rows of one chain in the order of their numbers, then tells its verdict."""

    def __init__(self, topic: str, heads: Sequence[Head]) -> None:
        self._topic = topic
        self._problems = [problem for head in heads for problem in _of_head(head)]
        self._wanted: dict[int, set[str]] = {}
        for head in heads:
            if head.valid:
                self._wanted.setdefault(head.seq, set()).add(head.hash)
        self._rows, self._expected, self._previous, self._signed_to = 0, 1, FIRST, 0
        self._forgotten = 0

    def see(self, row: Any, seals: Mapping[str, tuple[bytes, bytes]]) -> None:
        """The next row, with salt and value of what is sealed in it, by place."""
        self._rows += 1
        if row.seq != self._expected:
            last = row.seq - 1
            missing = f"row {last} is" if last == self._expected else f"rows {self._expected} to {last} are"
            self._problems.append(Problem(self._expected, f"{missing} missing"))
        elif row.previous != self._previous:
            self._problems.append(Problem(row.seq, "it does not follow from the row before"))
        self._problems += self._faults(row, seals)
        if (signed := self._wanted.pop(row.seq, None)) is not None:
            if signed == {row.hash}:
                self._signed_to = row.seq
            else:
                self._problems.append(Problem(row.seq, "it is not the row whose hash was signed"))
        self._expected, self._previous = row.seq + 1, row.hash

    def verdict(self) -> Verdict:
        """After the last row."""
        cut = [
            Problem(seq, f"it was signed, yet the chain ends at row {self._expected - 1}")
            for seq in sorted(self._wanted)
            if seq >= self._expected
        ]
        return Verdict(
            self._topic,
            self._rows,
            self._signed_to,
            self._problems + cut,
            self._forgotten,
            self._previous,
        )

    def _faults(self, row: Any, seals: Mapping[str, tuple[bytes, bytes]]) -> list[Problem]:
        content = bytes(row.content)
        try:
            well = chain_hash(row.previous, content) == row.hash
        except ValueError:  # not hexadecimal
            well = False
        if not well:
            return [Problem(row.seq, "its content is not what its hash was computed from")]
        told = orjson.loads(content)
        columns = {
            "topic": self._topic,
            "seq": row.seq,
            "key": row.event_key,
            "what": row.what,
            "at": row.at.astimezone(UTC).isoformat(),
        }
        changed = sorted(name for name, value in columns.items() if told.get(name) != value)
        if changed:
            return [Problem(row.seq, f"its {', '.join(changed)} was changed")]
        return self._of_seals(row, told.get("data", {}), seals)

    def _of_seals(
        self, row: Any, data: Mapping[str, Any], seals: Mapping[str, tuple[bytes, bytes]]
    ) -> list[Problem]:
        hashes = marks(data)
        self._forgotten += len(hashes.keys() - seals.keys())
        return [
            Problem(row.seq, f"the text kept for its {place} is not the one that was sealed")
            for place, (salt, value) in sorted(seals.items())
            if hashes.get(place) != hashlib.sha256(salt + value).hexdigest()
        ]


def _of_head(head: Head) -> list[Problem]:
    if not head.valid:
        return [Problem(head.seq, "the signature of its head is not valid")]
    if not head.follows:
        return [Problem(head.seq, f"the line before its head (line {head.line}) was removed or changed")]
    return []
