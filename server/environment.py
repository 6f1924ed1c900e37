"""The settings as the environment of a process describes them, read once.

`load_settings` refuses what it does not understand with one sentence for each fault;
`python -m server.environment --markdown` prints the table that the README shows.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from server.settings import Settings

PREFIX = "CASEWIRE_"

ELSEWHERE = frozenset({"CASEWIRE_DOCUMENTS", "CASEWIRE_RETRIEVAL", "CASEWIRE_TOKEN"})
"""Names with the prefix that only tests and benchmarks read, and the commands that talk to a server."""


class SettingsError(Exception):
    """The environment is wrong; `faults` holds one sentence for each fault."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


def load_settings() -> Settings:
    """The settings that the environment of this process describes.

    Raises:
        SettingsError: A value is wrong, or a name that starts with CASEWIRE_ is not known.
    """
    fields = {_name(field): field for field in Settings.model_fields.values()}
    known = ELSEWHERE.union(fields)
    faults = [
        _unknown(name, fields)
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and name not in known
    ]
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        faults += [_wrong(name, os.environ[name], fields[name]) for name in fields if name in wrong]
        faults += [str(detail["ctx"]["error"]) for detail in error.errors() if not detail["loc"]]
        raise SettingsError(faults) from None
    if faults:
        raise SettingsError(faults)
    return settings


def markdown() -> str:
    """A table of every setting, for the README."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for field in Settings.model_fields.values():
        default = "–" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{_name(field)}` | {default} | {field.description} |")
    return "\n".join(rows)


def setting_names() -> list[str]:
    """The environment variables that are read, in the order of the table."""
    return [_name(field) for field in Settings.model_fields.values()]


def _name(field: FieldInfo) -> str:
    assert isinstance(field.validation_alias, str)
    return field.validation_alias


def _wrong(name: str, value: str, field: FieldInfo) -> str:
    assert isinstance(field.json_schema_extra, dict)
    # Addresses may hold a password, and tokens and keys are such.
    found = (
        "is not usable: it"
        if name.endswith(("_URL", "_TOKEN", "_KEY")) or "@" in value
        else f"is {value!r}, but"
    )
    expects = field.json_schema_extra["expects"]
    otherwise = f" to use {field.default}" if field.default is not None else ""
    return f"{name} {found} must be {expects}; correct it, or unset it{otherwise}."


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.upper(), list(known), n=1)
    hint = (
        f"did you mean {close[0]}? Correct it or unset it."
        if close
        else "unset it; the README lists all settings."
    )
    return f"{name} is not a setting: {hint}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--markdown"]:
        sys.exit("usage: python -m server.environment --markdown")
    print(markdown())
