"""The form of machines in Redis: what is written is read back, by this release and by later ones."""

from __future__ import annotations

import zlib
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.snapshot import Snapshot
from storage.deflating import DICTIONARY, deflated, inflated
from storage.packing_redis import machine_in, packed_machine

SMALL = Snapshot(
    id="case-0-abc",
    kind="case",
    chart_version=1,
    chart_hash="h",
    topic="case:1",
    revision=3,
    configuration=["open"],
    context={"title": "A"},
    updated_at=1.5,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=40,
)


@given(st.dictionaries(st.text(max_size=30), json_values, max_size=20), st.integers(1, 10**9), st.booleans())
def test_a_machine_is_read_back_as_it_was_written(
    context: dict[str, Any], revision: int, awaits: bool
) -> None:
    awaiting = {"e": "open"} if awaits else {}
    machine = replace(SMALL, context=context, revision=revision, awaiting=awaiting)
    assert machine_in(packed_machine(machine)) == machine


def test_the_revision_stands_in_front_for_the_script_that_commits() -> None:
    large = replace(SMALL, context={"text": "harbour " * 400}, revision=77)
    assert packed_machine(SMALL).startswith(b"3 {")
    assert packed_machine(large).startswith(b"77 y")
    assert len(packed_machine(large)) < 500


def test_what_an_earlier_release_deflated_is_read() -> None:
    large = replace(SMALL, context={"text": "harbour " * 400})
    assert machine_in(b"3 z" + zlib.compress(orjson.dumps(large), 1)) == large


def test_the_dictionary_is_the_one_that_wrote_what_lies_in_redis() -> None:
    # Another dictionary needs another letter: whatever was deflated with this one would be lost.
    assert sha256(DICTIONARY).hexdigest()[:16] == "d12fe1d9dc82ed4d"


def test_bytes_that_were_never_deflated_are_refused() -> None:
    with pytest.raises(zlib.error):
        inflated(b"\xff\xfe no such thing")
    with pytest.raises(zlib.error):
        inflated(deflated(b"harbour " * 400)[:-5])


@given(st.binary(max_size=4000))
def test_any_bytes_come_back(json: bytes) -> None:
    assert inflated(deflated(json)) == json
