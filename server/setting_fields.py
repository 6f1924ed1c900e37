"""How a setting is declared: its variable, its default, its meaning, and what it expects."""

from __future__ import annotations

from typing import Any

from pydantic import Field


def setting(name: str, default: Any, meaning: str, expects: str, **bounds: Any) -> Any:
    """A field read from the variable `name`; `expects` completes the sentence "must be …"."""
    return Field(
        default, validation_alias=name, description=meaning, json_schema_extra={"expects": expects}, **bounds
    )


def whole(low: int, high: int | None = None) -> str:
    """What a whole number between bounds, both included, is said to be."""
    return f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
