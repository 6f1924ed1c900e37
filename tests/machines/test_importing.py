"""The import chart: it moves by counts alone, and never says more than they do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.errors import Forbidden, NotAllowed
from machines.import_files import standing
from machines.importing_events import Tally
from machines.step import allowed
from tests.machines.walk import Walk, extracted_upload, verified_upload


def listed() -> Walk:
    return Walk("import", title="Boxes 1 to 9", actor="ann").send("listed")


def count(walk: Walk, version: int, **tally: int) -> Walk:
    return walk.send("counted", version=version, tally=tally)


def test_it_goes_from_its_list_over_transfer_and_work_to_its_end() -> None:
    walk = Walk("import", title="Boxes")
    assert walk.configuration == {"manifest"}
    steps: list[tuple[str, dict[str, int]]] = [
        ("transferring", {"waiting": 2, "sending": 1}),
        ("processing", {"queued": 1, "working": 2}),
        ("done", {"ready": 2, "duplicate": 1}),
    ]
    walk.send("listed")
    for version, (state, tally) in enumerate(steps, 1):
        assert count(walk, version, **tally).configuration == {state}
    assert walk.context["outcome"] == "2 files are ready, 1 was there already"


def test_its_files_live_on_a_topic_of_its_own_that_names_the_case() -> None:
    assert listed().context["files_topic"] == "import:c1-abc"


def test_one_failure_ends_it_with_failures_and_the_rest_is_kept() -> None:
    walk = count(listed(), 1, ready=99, failed=1)
    assert walk.configuration == {"done_with_failures"}
    assert walk.context["outcome"] == "99 files are ready, 1 failed"
    [told] = [effect.args() for effect in walk.last.effects.values()]
    assert (told["user"], told["level"]) == ("ann", "warning")


def test_retrying_asks_for_the_failed_files_alone_and_goes_on_when_they_move() -> None:
    walk = count(listed(), 1, ready=1, failed=2).send("retry_failed", source="client", role="editor", file=7)
    [asked] = list(walk.last.effects.values())
    assert (asked.name, asked.args()) == (
        "RetryFiles", {"imported": "import-0-abc", "file": 7, "actor": "u1"},
    )  # fmt: skip
    assert walk.configuration == {"done_with_failures"}
    assert count(walk, 2, ready=1, failed=1, queued=1).configuration == {"processing"}
    assert count(walk, 3, ready=2, failed=1).configuration == {"done_with_failures"}


def test_an_older_count_changes_nothing() -> None:
    walk = count(listed(), 5, working=1, ready=1)
    assert count(walk, 4, waiting=2).configuration == {"processing"}
    assert walk.context["tally"]["ready"] == 1
    assert walk.context["version"] == 5


def test_nothing_leaves_a_paused_import_but_its_resumption() -> None:
    walk = count(listed(), 1, waiting=3).send("pause", source="client")
    assert count(walk, 2, waiting=2, ready=1).configuration == {"paused"}
    walk.at += 58
    assert walk.send("resume", source="client").configuration == {"transferring"}
    assert walk.context["paused_s"] == 60


def test_a_pause_within_the_list_leads_back_to_it() -> None:
    walk = Walk("import", title="A").send("pause", source="client").send("resume", source="client")
    assert walk.configuration == {"manifest"}


def test_a_cancelled_import_ends_when_the_last_of_its_files_has() -> None:
    walk = count(listed(), 1, working=1, waiting=1, ready=1).send("cancel", source="client", actor="bob")
    assert walk.context["canceller"] == "bob"
    assert count(walk, 2, working=1, ready=1, cancelled=1).configuration == {"cancelling"}
    assert count(walk, 3, ready=1, cancelled=2).configuration == {"cancelled"}
    assert walk.context["outcome"] == "cancelled; 1 file is evidence"
    with pytest.raises(NotAllowed):
        count(walk, 4, ready=1)


def test_viewers_can_do_nothing_to_it() -> None:
    walk = count(listed(), 1, waiting=1)
    assert allowed(walk.last.snapshot, "viewer") == []
    assert allowed(walk.last.snapshot, "editor") == ["cancel", "pause", "retry_failed"]
    with pytest.raises(Forbidden):
        walk.send("counted", source="client", version=9, tally={})


@given(st.fixed_dictionaries({name: st.integers(0, 3) for name in Tally.model_fields}))
def test_it_rests_only_where_no_file_is_on_its_way(tally: dict[str, int]) -> None:
    walk = count(listed(), 1, **tally)
    live = sum(tally[name] for name in ("waiting", "sending", "queued", "working"))
    assert (walk.configuration <= {"done", "done_with_failures"}) == (live == 0)
    assert sum(walk.context["tally"].values()) == sum(tally.values())
    if live == 0:
        assert (walk.configuration == {"done_with_failures"}) == (tally["failed"] > 0)


def stand(walk: Walk) -> Any:
    return standing(walk.last.snapshot)


def test_a_file_is_queued_until_work_on_it_begins() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3)
    assert stand(walk).state == "sending"
    walk.send("received", sha256="ab", bytes=3)
    assert stand(walk).state == "queued"
    walk.send("started", effect=walk.effect("VerifyUpload"), stage="verifying")
    assert stand(walk).state == "working"


def test_a_file_whose_second_step_is_queued_is_being_worked_on() -> None:
    assert stand(verified_upload()).state == "working"
    assert stand(extracted_upload()).state == "working"


def test_a_broken_off_file_waits_to_be_sent() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3).send("interrupted", reason="the connection ended")
    assert stand(walk).state == "waiting"


def test_a_failed_file_tells_its_reason_and_whether_it_can_be_tried_again() -> None:
    walk = verified_upload()
    effect = walk.effect("ExtractText")
    walk.send("broke", effect=effect, stage="extracting", reason="the file is damaged")
    assert (stand(walk).state, stand(walk).reason, stand(walk).retryable) == (
        "failed", "the file is damaged", True,
    )  # fmt: skip


def test_the_time_that_workers_spent_is_what_ran_without_what_waited() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3).send("received", sha256="ab", bytes=3)
    walk.at += 100
    effect = walk.effect("VerifyUpload")
    walk.send("started", effect=effect, stage="verifying")
    walk.at += 4
    walk.send("verified", effect=effect, evidence=7, media_type="text/plain", title="A")
    assert stand(walk).busy_s == 5


def test_removed_evidence_is_counted_as_removed_and_not_as_ready() -> None:
    walk = verified_upload()
    walk.send("extracted", effect=walk.effect("ExtractText"), pages=1, characters=0, chunks=0)
    assert stand(walk).state == "ready"
    assert stand(walk.send("remove", source="client")).state == "removed"
    assert stand(walk.send("restore", source="client")).state == "ready"
