"""Whose turn a machine's work takes."""

from __future__ import annotations

import pytest

from machines.behalf import behalf_of
from machines.step import CHARTS, Incoming, spawn


@pytest.mark.parametrize(
    ("kind", "topic", "data"),
    [
        ("query", "case:c", {"question": "Who was there?"}),
        ("upload", "case:c", {"filename": "a.pdf", "bytes": 3}),
        ("upload", "import:i", {"filename": "a.pdf", "bytes": 3}),
        ("detective", "user:ann", {}),
    ],
)
def test_it_is_the_person_who_asked_or_brought(kind: str, topic: str, data: dict[str, object]) -> None:
    made = spawn(kind, f"{kind}-0-a", topic, Incoming("spawn", data, "handler", 1.0, "ann", "owner"))
    assert behalf_of(made.snapshot) == "ann"


def test_what_nobody_asked_for_waits_with_all_else_on_its_topic() -> None:
    data = {"filename": "a.pdf", "bytes": 3}
    made = spawn("upload", "upload-0-a", "case:c", Incoming("spawn", data, "handler", 1.0, "system", None))
    assert behalf_of(made.snapshot) == "case:c"


def test_every_chart_whose_work_waits_in_line_names_its_person() -> None:
    """One whose context used another word would have all its work wait by topic."""
    unnamed = {
        kind
        for kind, chart in CHARTS.items()
        if not {"asker", "owner", "user"} & chart.context_type.model_fields.keys()
    }
    assert not unnamed
