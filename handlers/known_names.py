"""The names of cases, ready to be found in questions, kept in this process while they stay the same.

A large case has some 50,000 names, and a question looks at them in three or four of its stages. Whether what
is kept is still right is asked of the database each time, by a number that changes with the names. What comes
to a case that has more names than are told mostly changes that number alone: there the names are read only
where their digest is another one.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import ReferenceType, WeakValueDictionary, ref

from handlers.terms import STOP_WORDS, fold
from storage.graph import MOST_NAMES, Graph, Name

MOST_BYTES = 128 << 20
"""Of all names that a process keeps; the case that was asked about longest ago goes first."""

NAME_BYTES = 480
"""What a name takes with all by which it is found, beside its letters: measured for 50,000 names."""

FUZZY_LETTERS = 5
"""Shorter names must be spelt right: in so few letters another word is always near."""

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’ʼ]s?\b")
_PEOPLE = ("person", "poi")


def words_of(text: str) -> list[str]:
    """The words of a question or a name as written, without a possessive ending."""
    return _WORD.findall(_POSSESSIVE.sub(" ", text))


def form_of(name: str) -> str:
    """A name as `NameIndex.by_form` has it."""
    return " ".join(fold(word) for word in words_of(name))


class NameIndex:
    """Names by what is looked for in a question.

    Attributes:
        names: All of them, as they were given.
        by_form: Folded words of a name with a space between → the names written so.
        by_last: Folded last word of the name of a person → those people.
        by_length: Letters of a form that may be misspelt → the forms of so many letters.
    """

    def __init__(self, names: Sequence[Name]) -> None:
        self.by_form: dict[str, list[Name]] = defaultdict(list)
        self.by_last: dict[str, list[Name]] = defaultdict(list)
        self.by_length: dict[int, list[str]] = defaultdict(list)
        self.names = names
        for name in names:
            parts = [fold(word) for word in words_of(name.text)]
            if parts and not (len(parts) == 1 and (parts[0] in STOP_WORDS or len(parts[0]) < 2)):
                self.by_form[" ".join(parts)].append(name)
                if len(parts) > 1 and name.kind in _PEOPLE:
                    self.by_last[parts[-1]].append(name)
        for form in self.by_form:
            if len(form) >= FUZZY_LETTERS:
                self.by_length[len(form)].append(form)

    @cached_property
    def size_bytes(self) -> int:
        """About what it takes."""
        return NAME_BYTES * len(self.names) + 3 * sum(len(name.text) for name in self.names)


@dataclass(frozen=True)
class _Kept:
    version: str
    digest: str
    index: NameIndex


_Key = tuple[ReferenceType[Graph], str]


class KnownNames:
    """The names of the cases of the last questions.

    Args:
        most_bytes: What they may take together; one case is kept even if it alone takes more.
        most_names: Entities of a case that are looked for.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most_names: int = MOST_NAMES) -> None:
        self._most_bytes, self._most_names = most_bytes, most_names
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._reading: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    async def of(self, case: str, graph: Graph) -> NameIndex:
        """The names of a case as they are now."""
        key = ref(graph), case
        async with self._reading.setdefault(key, asyncio.Lock()):
            # Before the names: a change in between is read with them, and read again next time.
            version = await graph.names_version(case)
            kept = self._kept.get(key)
            if kept is None or kept.version != version:
                kept = self._kept[key] = await self._renewed(case, graph, version, kept)
            self._kept.move_to_end(key)
            self._prune()
        return kept.index

    async def _renewed(self, case: str, graph: Graph, version: str, kept: _Kept | None) -> _Kept:
        if (
            kept is not None
            and kept.digest
            and await graph.names_digest(case, limit=self._most_names) == kept.digest
        ):
            return replace(kept, version=version)
        read = await graph.read_names(case, limit=self._most_names)
        return _Kept(version, read.digest, await asyncio.to_thread(NameIndex, read.names))

    def _prune(self) -> None:
        for key in [key for key in self._kept if key[0]() is None]:
            del self._kept[key]
        taken = sum(kept.index.size_bytes for kept in self._kept.values())
        while taken > self._most_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            taken -= oldest.index.size_bytes


KNOWN = KnownNames()
"""Of this process."""
