"""The setting that names the hosts which webhooks may call."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PATTERN = re.compile(r"^(\[[0-9a-f:.]+\]|\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?$")


class TargetRefused(Exception):
    """An address that webhooks may not call; the message says why and what to do."""


@dataclass(frozen=True)
class Pattern:
    """One entry of the setting.

    Attributes:
        host: In lower case; `*` alone or in front of a domain stands for anything.
        port: None for every port.
    """

    host: str
    port: int | None

    @property
    def in_full(self) -> bool:
        return "*" not in self.host

    def fits(self, host: str, port: int) -> bool:
        """Whether a host and port may be called by it."""
        if self.port not in (None, port):
            return False
        if self.in_full:
            return self.host == host
        return self.host == "*" or host.endswith(self.host[1:])


def patterns(setting: str) -> tuple[Pattern, ...]:
    """The patterns of CASEWIRE_WEBHOOK_HOSTS.

    Raises:
        ValueError: One of them is none.
    """
    found = []
    for text in setting.lower().split(","):
        match = _PATTERN.match(text.strip())
        if match is None or int(match[2] or 1) not in range(1, 65536):
            raise ValueError(f"not a host: {text!r}")
        found.append(Pattern(match[1].strip("[]"), int(match[2]) if match[2] else None))
    return tuple(found)
