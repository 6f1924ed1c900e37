"""What may happen to a machine: typed events, each with the one source it may come from."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Source = Literal["client", "handler", "timer"]
Role = Literal["viewer", "editor", "owner"]

BIGGEST = 2**63 - 1
"""The largest whole number that JSON writers and database columns take."""

ROLES: tuple[Role, ...] = ("viewer", "editor", "owner")


def at_least(role: Role | None, needed: Role) -> bool:
    """Whether `role` grants everything that `needed` grants; no role grants nothing."""
    return role is not None and ROLES.index(role) >= ROLES.index(needed)


class Event(BaseModel):
    """A frozen payload; subclasses declare `class Cancel(Event, name="cancel", source="client")`.

    `role` is the least role a client must hold on the topic; it has no meaning for other sources.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    source: ClassVar[Source]
    role: ClassVar[Role] = "viewer"

    def __init_subclass__(
        cls, *, name: str | None = None, source: Source | None = None, role: Role | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if name is not None:
            cls.name = name
        if source is not None:
            cls.source = source
        if role is not None:
            cls.role = role


class Result(Event, source="handler"):
    """A handler's answer to one effect; dropped when that effect is no longer awaited."""

    effect: str
    """Id of the effect it answers, `machine:revision:index`."""
