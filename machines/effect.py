"""What a machine asks the world to do: frozen descriptions that a handler carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Queue = Literal["inline", "cpu", "gpu"]

_REGISTRY: dict[str, type[Effect]] = {}


@dataclass(frozen=True)
class Effect:
    """One piece of work; subclasses declare `class Extract(Effect, queue="cpu", deadline_s=600)`.

    Attributes:
        queue: Where it runs: `inline` in the dispatcher, else on that RQ queue.
        deadline_s: How long it may run once it has started, in seconds; waiting does not count.
        memory_mb: Main memory that a worker should have free before it begins, in MiB; 0 for little.
    """

    queue: ClassVar[Queue] = "cpu"
    deadline_s: ClassVar[float] = 300.0
    memory_mb: ClassVar[int] = 0

    def __init_subclass__(
        cls, *, queue: Queue, deadline_s: float = 300.0, memory_mb: int = 0, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.queue = queue
        cls.deadline_s = deadline_s
        cls.memory_mb = memory_mb
        if cls.__name__ in _REGISTRY:
            raise TypeError(f"two effects are called {cls.__name__}; their names go on the wire, rename one")
        _REGISTRY[cls.__name__] = cls

    @property
    def name(self) -> str:
        """Name on the wire: the class's."""
        return type(self).__name__

    def args(self) -> dict[str, Any]:
        """Its fields as JSON values."""
        return asdict(self)


def effect_from(name: str, args: Mapping[str, Any]) -> Effect:
    """Rebuild an effect from its wire form.

    Raises:
        KeyError: No chart of this release issues an effect of that name.
        TypeError: The arguments are not its fields.
    """
    return _REGISTRY[name](**args)


def effect_types() -> dict[str, type[Effect]]:
    """Every effect that some chart can emit, by name."""
    return dict(_REGISTRY)
