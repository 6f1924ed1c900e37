"""Pictures hold every state, and light what is active."""

import json

import pytest

from machines.chart import all_states
from machines.draw import FORMATS, draw
from machines.step import CHARTS


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_every_state_is_in_every_drawing(kind: str, form: str) -> None:
    picture = draw(kind, form)
    assert [s.id for s in all_states(CHARTS[kind]) if s.id not in picture] == []


@pytest.mark.parametrize(("form", "lit"), [("dot", 'class="active"'), ("mermaid", "class ready active")])
def test_active_states_are_lit(form: str, lit: str) -> None:
    assert lit in draw("upload", form, ["ready"])
    assert lit not in draw("upload", form, ["failed"]) or form == "dot"
    assert draw("upload", form).count(lit) == 0


def test_json_tells_who_may_send_what() -> None:
    events = {event["name"]: event for event in json.loads(draw("case", "json"))["events"]}
    assert (events["close"]["source"], events["close"]["role"]) == ("client", "owner")


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="dot, mermaid, json"):
        draw("case", "png")
