"""What comes out of an archive or a mailbox: names made harmless, what is left out counted by reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from handlers.parsing.parsed import Outlet, Parsed, TooMuch, clean

_LISTED = 20_000
"""Names in the text of a container; the number of all is told besides."""

_DRIVE = re.compile(r"^[A-Za-z]:")


def harmless(name: str) -> str:
    """A relative path that leads nowhere else: no root, no drive, no steps upwards, nothing invisible."""
    parts = _DRIVE.sub("", clean(name).replace("\n", " ").replace("\\", "/")).split("/")
    return "/".join(part.strip()[:200] for part in parts if part.strip() not in ("", ".", ".."))


class Unpacking:
    """One container being unpacked.

    Attributes:
        full: No more is accepted; nothing after this needs to be read.
    """

    def __init__(self, outlet: Outlet, noun: str = "files") -> None:
        self.full = False
        self._outlet = outlet
        self._noun = noun
        self._names: list[str] = []
        self._files = 0
        self._left: Counter[str] = Counter()
        self._ended = ""

    def take(self, name: str, content: Iterable[bytes], failures: tuple[type[Exception], ...]) -> None:
        """Send a file out; one of the `failures` means that it is damaged and is left out."""
        name = harmless(name) or f"unnamed-{self._files + 1}"
        try:
            self._outlet.attach(name, content)
        except TooMuch as error:
            self.full = True
            self._ended = str(error)
        except failures:
            self.leave("damaged")
        else:
            self._files += 1
            if len(self._names) < _LISTED:
                self._names.append(name)

    def leave(self, why: str, number: int = 1) -> None:
        """Count what is left out: `why` completes “3 were left out: …”."""
        if number > 0:
            self._left[why] += number

    def end(self, why: str) -> None:
        """The rest cannot be read; `why` is a clause."""
        self._ended = why

    @property
    def reasons(self) -> set[str]:
        """Why something was left out so far."""
        return set(self._left)

    @property
    def empty(self) -> bool:
        """Nothing has come out so far."""
        return not self._files

    def parsed(self, title: str, meta: dict[str, Any] | None = None) -> Parsed:
        """A listing as text, the counts as facts."""
        facts = dict(meta or {}) | {"entries": self._files + self._left.total()}
        said = [f"{number} left out ({why})" for why, number in self._left.most_common()]
        if self._ended:
            said.append(f"the rest was not unpacked: {self._ended}")
        if said:
            facts |= {"left_out": self._left.total(), "notice": "; ".join(said)}
        more = self._files - len(self._names)
        lines = [f"{self._files} {self._noun}", "", *self._names, *([f"and {more} more"] if more else [])]
        return Parsed(text=clean("\n".join(lines)), title=title, meta=facts)
