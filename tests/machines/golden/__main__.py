"""`python -m tests.machines.golden record KIND`: write down the present definition and its journals.

What is recorded stays: a released definition is refused. `--again` is for a version that no release
has contained yet, whose record may still change.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from machines.step import CHARTS, chart_of
from tests.machines.golden import definitions, journals
from tests.machines.golden.lives import LIVES


class AlreadyRecorded(Exception):
    """The version has a record, which must stay."""


def record(
    kind: str,
    *,
    again: bool = False,
    definitions_in: Path = definitions.FOLDER,
    journals_in: Path = journals.FOLDER,
) -> list[Path]:
    """Write the files of the present version and return their paths.

    Raises:
        AlreadyRecorded: There are some, and `again` is not set.
    """
    chart = chart_of(kind)
    path = definitions.path_of(kind, chart.version, definitions_in)
    if path.exists() and not again:
        raise AlreadyRecorded(
            f"version {chart.version} of the {kind} chart is recorded; a released definition stays as it "
            "was: raise `version` for another (or say --again if no release has contained this one)"
        )
    written = [_write(path, definitions.definition(chart))]
    lives = LIVES[kind]
    folder = journals_in / f"{kind}-v{chart.version}"
    for old in folder.glob("*.json"):
        old.unlink()
    for name, life in lives.items():
        journal = journals.record(kind, name, life.topic, life.lead)
        written.append(_write(journals.path_of(kind, chart.version, name, journals_in), journal))
    return written


def _write(path: Path, value: dict[str, Any]) -> Path:
    """JSON with a line for each member, and for each part of a member that has parts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = [f"{json.dumps(key)}: {_lines(member)}" for key, member in value.items()]
    path.write_text("{" + ",\n".join(members) + "}\n", encoding="utf-8")
    return path


def _lines(member: Any) -> str:
    if isinstance(member, list):
        return "[\n" + ",\n".join(json.dumps(part, ensure_ascii=False) for part in member) + "]"
    if isinstance(member, dict):
        parts = (f"{json.dumps(key)}: {json.dumps(part, ensure_ascii=False)}" for key, part in member.items())
        return "{\n" + ",\n".join(parts) + "}"
    return json.dumps(member, ensure_ascii=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.machines.golden", description=__doc__)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="write the present definition and journals of a chart")
    recording.add_argument("kind", choices=sorted(CHARTS))
    recording.add_argument("--again", action="store_true", help="overwrite a version that was never released")
    options = parser.parse_args()
    try:
        written = record(options.kind, again=options.again)
    except AlreadyRecorded as error:
        sys.exit(str(error))
    print(f"{options.kind}: 1 definition, {len(written) - 1} journals")


if __name__ == "__main__":
    main()
