"""Which models may see the text of a case: those of this machine, and those that its owner lets it go to."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from handlers.job import Permanent
from handlers.language_model import LanguageModel


class Consents(Protocol):
    """What owners of cases have agreed to."""

    async def given(self, case: str, host: str) -> bool:
        """Whether text of the case may go to the host."""


MayEmbed = Callable[[str], Awaitable[None]]
"""Returns where the texts of a case may be embedded; raises `Refused` where they may not."""


class Refused(Permanent):
    """An owner has not agreed that texts of the case go to a host."""


async def always(case: str) -> None:
    """Of an embedder on this machine."""


@dataclass(frozen=True)
class Choice:
    """The language model for a case; None with the `reason` where there is one and it may not be asked."""

    model: LanguageModel | None
    reason: str = ""


@dataclass(frozen=True)
class Models:
    """The configured language model, and the consents that it depends on.

    Attributes:
        language: None where the settings name none.
        trusted: Hosts without a port that the settings declare to be as good as this machine.
    """

    language: LanguageModel | None
    consents: Consents
    trusted: frozenset[str] = frozenset()

    async def of_case(self, case: str) -> Choice:
        """The language model that may read the case."""
        model = self.language
        if model is None:
            return Choice(None)
        if is_local(model.host, self.trusted) or await self.consents.given(case, model.host):
            return Choice(model)
        return Choice(None, f"{refusal(model.host)}; this answer is made of quotations")

    async def let_embed(self, case: str, host: str) -> None:
        """Return where the texts of the case may be embedded at the host ("": on this machine).

        Raises:
            Refused: They may not; the sentence says who can change that.
        """
        if host and not is_local(host, self.trusted) and not await self.consents.given(case, host):
            raise Refused(refusal(host))


def refusal(host: str) -> str:
    """Why a host gets nothing of a case, as a sentence without a final stop."""
    return f"an owner of the case has not agreed that its text may go to {host}"


def is_local(host: str, trusted: Collection[str] = ()) -> bool:
    """Whether a host (`name`, `name:port`, `[v6]:port`) is this machine: loopback, by name or address.

    Another machine of a private network is not, since nobody can tell by its address whose it is: what goes
    there leaves this machine. Whoever runs the instance can say so, however: `trusted` are such hosts, as
    `host_name` writes them.

    >>> is_local("localhost:11434"), is_local("[::1]:8000"), is_local("127.0.0.1"), is_local("10.0.0.7:80")
    (True, True, True, False)
    >>> is_local("ollama:11434", {"ollama"}), is_local("ollama.example.com", {"ollama"})
    (True, False)
    """
    name = host_name(host)
    if name == "localhost" or name in trusted:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """A host without user and port, in small letters.

    >>> host_name("Ollama:11434"), host_name("[::1]:8000"), host_name("fd00::7")
    ('ollama', '::1', 'fd00::7')
    """
    name = host.rpartition("@")[2]
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    return name.lower().rstrip(".")
