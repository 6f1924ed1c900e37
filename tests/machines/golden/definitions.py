"""The record of a chart's definition: what it was when it was released, for people and for a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from machines.chart import Chart, all_states, chart_hash
from machines.event import Event
from machines.releases import leads

FOLDER = Path(__file__).parent / "definitions"


def definition(chart: type[Chart]) -> dict[str, Any]:
    """Everything that the hash covers, and the spawn event, in words that a diff can show."""
    return {
        "kind": chart.kind,
        "version": chart.version,
        "hash": chart_hash(chart),
        "spawn": _event(chart.spawn_event) | {"topics": list(chart.spawn_topics)},
        "states": {
            state.id: {
                "parent": state.parent.id if state.parent else None,
                "is": sorted(
                    name
                    for name, value in (
                        ("initial", state.initial),
                        ("final", state.final),
                        ("parallel", state.parallel),
                    )
                    if value
                ),
                "actions": sorted(str(spec.func) for spec in state._specs),
                "transitions": [
                    {
                        "event": str(transition.event),
                        "to": [target.id for target in transition.targets],
                        "internal": bool(transition.internal),
                        "guards and actions": sorted(str(spec.func) for spec in transition._specs),
                    }
                    for transition in state.transitions
                ],
            }
            for state in all_states(chart)
        },
        "events": {event.name: _event(event) for event in chart.event_types},
        "context": chart.context_type.model_json_schema(),
    }


def _event(event: type[Event]) -> dict[str, Any]:
    return {"source": event.source, "role": event.role, "data": event.model_json_schema()}


def path_of(kind: str, version: int, folder: Path = FOLDER) -> Path:
    """Where a definition is recorded."""
    return folder / f"{kind}-v{version}.json"


def recorded(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Every recorded definition, oldest version first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(found, key=lambda each: (each["kind"], each["version"]))


def faults_of(chart: type[Chart], records: list[dict[str, Any]]) -> list[str]:
    """What a release with this chart would break, a sentence each; nothing when all is well."""
    present = definition(chart)
    mine = {record["version"]: record for record in records if record["kind"] == chart.kind}
    record = mine.get(chart.version)
    command = f"python -m tests.machines.golden record {chart.kind}"
    faults = []
    if record is None:
        faults.append(f"version {chart.version} of the {chart.kind} chart is not recorded: run `{command}`")
    elif differing := [part for part in present if record[part] != present[part] and part != "hash"]:
        faults.append(
            f"the {chart.kind} chart differs from its recorded version {chart.version} in its "
            f"{', '.join(differing)}: raise `version`, add a migration from {record['hash']} to "
            f"machines/releases.py, and record the new definition by `{command}`"
        )
    elif record["hash"] != present["hash"]:
        faults.append(
            f"the hash of the {chart.kind} chart has changed from {record['hash']} to {present['hash']} "
            "though its definition has not: snapshots of released machines would be refused"
        )
    faults += [
        f"no migration leads from version {version} ({older['hash']}) of the {chart.kind} chart to the "
        "present: add one to machines/releases.py"
        for version, older in mine.items()
        if version < chart.version and not leads(chart.kind, older["hash"], present["hash"])
    ]
    return faults
