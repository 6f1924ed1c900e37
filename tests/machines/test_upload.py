"""The upload chart: each way through, each failure on its own."""

import pytest

from machines.errors import BadPayload, Forbidden, NotAllowed, Stale
from machines.upload_actions import GRACE_S
from machines.upload_events import DropParts, HideEvidence
from tests.machines.walk import Walk, extracted_upload, verified_upload

QUEUED = {
    "embedding": "EmbedChunks",
    "linking": "LinkEntities",
    "tagging": "TagEvidence",
    "summarising": "SummariseEvidence",
}
RESULTS = {
    "embedding": ("embedded", {"chunks": 2}),
    "indexing": ("indexed", {"chunks": 2}),
    "linking": ("linked", {"entities": 3, "mentions": 4}),
    "tagging": ("tagged", {"tags": ["memo"]}),
    "summarising": ("summarised", {"sentences": 2}),
}
EFFECTS = QUEUED | {"indexing": "IndexChunks"}


def finish(walk: Walk, *stages: str) -> Walk:
    for stage in stages:
        event, data = RESULTS[stage]
        walk.send(event, effect=walk.effect(EFFECTS[stage]), **data)
    return walk


def test_text_leads_to_four_analyses_at_once() -> None:
    walk = extracted_upload()
    assert set(QUEUED) <= walk.configuration
    assert sorted(effect.name for effect in walk.last.effects.values()) == sorted(QUEUED.values())


def test_all_analyses_well_makes_ready_and_tells_the_owner_once() -> None:
    walk = finish(extracted_upload(), "tagging", "embedding", "summarising", "indexing", "linking")
    assert walk.configuration == {"ready"}
    assert [effect.name for effect in walk.last.effects.values()] == ["Notify"]
    assert walk.last.snapshot.awaiting == {}


def test_one_broken_analysis_lets_the_others_end_before_the_upload_fails() -> None:
    walk = finish(extracted_upload(), "embedding", "indexing")
    walk.send("broke", effect=walk.effect("TagEvidence"), stage="tagging", reason="no tags today")
    assert "analysing" in walk.configuration
    finish(walk, "linking", "summarising")
    assert walk.configuration == {"failed"}
    assert walk.context["reason"] == "no tags today"


def test_retry_enters_only_what_broke() -> None:
    walk = finish(extracted_upload(), "embedding", "linking", "summarising")
    walk.send("broke", effect=walk.effect("IndexChunks"), stage="indexing", reason="disk full")
    walk.send("broke", effect=walk.effect("TagEvidence"), stage="tagging", reason="no tags today")
    walk.send("retry", source="client")
    assert {effect.name for effect in walk.last.effects.values()} == {"IndexChunks", "TagEvidence"}
    assert {"links_well", "summary_well", "indexing", "tagging"} <= walk.configuration
    finish(walk, "indexing", "tagging")
    assert walk.configuration == {"ready"}


def test_a_temporary_failure_waits_then_asks_with_a_new_effect() -> None:
    walk = extracted_upload()
    first = walk.effect("TagEvidence")
    walk.send("broke", effect=first, stage="tagging", reason="busy", temporary=True)
    assert walk.context["work"]["tagging"]["status"] == "waiting"
    assert first in walk.last.settled
    assert [(t.key, t.event) for t in walk.last.timers] == [("again.tagging", "again")]
    walk.send("again", source="timer", stage="tagging")
    assert walk.effect("TagEvidence") != first
    assert walk.context["work"]["tagging"]["attempt"] == 2
    with pytest.raises(Stale):
        walk.send("tagged", effect=first, tags=[])


def test_a_third_temporary_failure_is_final() -> None:
    walk = extracted_upload()
    for _ in range(2):
        walk.send("broke", effect=walk.effect("TagEvidence"), stage="tagging", reason="busy", temporary=True)
        walk.send("again", source="timer", stage="tagging")
    walk.send("broke", effect=walk.effect("TagEvidence"), stage="tagging", reason="busy", temporary=True)
    assert "tags_broken" in walk.configuration


def test_only_running_work_has_a_deadline() -> None:
    walk = extracted_upload()
    assert walk.last.snapshot.timers == {}
    walk.send("started", effect=walk.effect("EmbedChunks"), stage="embedding")
    assert walk.last.snapshot.timers == {"deadline.embedding": "embedding"}
    finish(walk, "embedding")
    assert walk.last.snapshot.timers == {}


def test_a_passed_deadline_drops_the_running_attempt() -> None:
    walk = extracted_upload()
    late = walk.effect("EmbedChunks")
    walk.send("started", effect=late, stage="embedding")
    walk.send("deadline", source="timer", stage="embedding")
    assert walk.context["work"]["embedding"]["status"] == "waiting"
    with pytest.raises(Stale):
        walk.send("embedded", effect=late, chunks=2)


def test_events_of_one_stage_leave_the_others_alone() -> None:
    walk = extracted_upload()
    walk.send("started", effect=walk.effect("LinkEntities"), stage="linking")
    statuses = {stage: walk.context["work"][stage]["status"] for stage in QUEUED}
    assert statuses == {
        "embedding": "queued",
        "linking": "running",
        "tagging": "queued",
        "summarising": "queued",
    }
    assert walk.last.effects == {}


def test_cancelling_settles_everything_awaited() -> None:
    walk = extracted_upload()
    awaited = set(walk.last.snapshot.awaiting)
    walk.send("cancel", source="client")
    assert walk.configuration == {"forgetting"}
    assert set(walk.last.settled) == awaited
    walk.send("forgotten", effect=walk.effect("ForgetEvidence"))
    assert walk.configuration == {"cancelled"}
    assert walk.last.snapshot.terminated


def test_removed_evidence_is_hidden_at_once_and_gone_after_the_time_of_grace() -> None:
    walk = extracted_upload()
    finish(walk, *QUEUED, "indexing")
    walk.send("remove", source="client")
    assert walk.configuration == {"leaving"}
    assert [*walk.last.effects.values()] == [HideEvidence(7, True)]
    assert walk.context["grace_until"] == walk.at + GRACE_S
    walk.send("grace_over", source="timer")
    walk.send("forgotten", effect=walk.effect("ForgetEvidence"))
    assert walk.configuration == {"deleted"}
    assert walk.last.snapshot.terminated


def test_restored_evidence_is_as_it_was_and_nobody_is_told_of_it_as_new() -> None:
    walk = extracted_upload()
    finish(walk, *QUEUED, "indexing")
    before = walk.context
    walk.send("remove", source="client")
    walk.send("restore", source="client")
    assert walk.configuration == {"ready"}
    assert [*walk.last.effects.values()] == [HideEvidence(7, False)]
    assert walk.context == before
    assert walk.last.snapshot.timers == {}


def test_a_deletion_that_breaks_can_be_tried_again() -> None:
    walk = extracted_upload().send("swept")
    walk.send("broke", effect=walk.effect("ForgetEvidence"), stage="forgetting", reason="the disk is full")
    assert walk.configuration == {"stranded"}
    walk.send("retry", source="client")
    walk.send("forgotten", effect=walk.effect("ForgetEvidence"))
    assert walk.configuration == {"deleted"}


def test_a_file_without_text_is_ready_and_says_so() -> None:
    walk = verified_upload()
    walk.send("extracted", effect=walk.effect("ExtractText"), pages=2, characters=0, chunks=0)
    assert walk.configuration == {"ready"}
    assert walk.context["reason"] == "the file holds no text"


def test_an_encrypted_file_waits_for_a_password_and_never_holds_it() -> None:
    walk = verified_upload()
    walk.send("needs_password", effect=walk.effect("ExtractText"), reason="it is encrypted")
    assert walk.configuration == {"locked"}
    assert walk.context["work"]["extracting"]["status"] == "waiting"
    walk.send("unlock", source="client", secret="where-it-waits")
    assert walk.last.effects[walk.effect("ExtractText")].args()["secret"] == "where-it-waits"
    with pytest.raises(BadPayload):
        walk.send("unlock", source="client", password="hunter2")


def test_the_same_bytes_point_at_the_evidence_that_is_there() -> None:
    walk = Walk("upload", filename="copy.pdf", bytes=3)
    walk.send("received", sha256="ab", bytes=3)
    walk.send("recognised", effect=walk.effect("VerifyUpload"), evidence=7, title="The first")
    assert walk.configuration == {"duplicate"}
    assert walk.context["evidence"] == 7


def test_an_unsupported_kind_cannot_be_retried() -> None:
    walk = Walk("upload", filename="a.zip", bytes=3)
    walk.send("received", sha256="ab", bytes=3)
    walk.send(
        "unsupported",
        effect=walk.effect("VerifyUpload"),
        reason="a ZIP archive",
        media_type="application/zip",
    )
    assert walk.configuration == {"failed"}
    with pytest.raises(NotAllowed):
        walk.send("retry", source="client")


def test_a_broken_off_upload_can_be_sent_again() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3)
    walk.send("interrupted", reason="the connection was cut")
    assert walk.configuration == {"paused"}
    walk.send("resumed").send("received", sha256="ab", bytes=3)
    assert walk.configuration == {"verifying"}


def test_silence_pauses_and_then_ends_an_upload() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3)
    walk.send("silent", source="timer")
    assert walk.configuration == {"paused"}
    walk.send("silent", source="timer")
    assert walk.configuration == {"failed"}


@pytest.mark.parametrize("event", ["received", "verified", "extracted", "started", "broke"])
def test_a_browser_cannot_forge_what_handlers_report(event: str) -> None:
    with pytest.raises(Forbidden):
        Walk("upload", filename="a.pdf").send(event, source="client")


def test_a_viewer_cannot_cancel() -> None:
    with pytest.raises(Forbidden):
        Walk("upload", filename="a.pdf").send("cancel", source="client", role="viewer")


def test_each_stage_knows_the_effect_whose_place_in_the_queue_is_told() -> None:
    walk = extracted_upload()
    for stage, effect in QUEUED.items():
        assert walk.context["work"][stage]["effect"] == walk.effect(effect)


def test_a_sender_that_comes_again_goes_on_behind_the_bytes_that_are_there() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=9)
    walk.send("interrupted", reason="the cable is out", received=5)
    walk.send("resumed", received=6)
    assert (walk.configuration, walk.context["received"]) == ({"receiving"}, 6)


def test_gathered_bytes_that_are_another_file_are_dropped_and_the_file_is_expected_anew() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3).send("gathered", parts="p1", bytes=3)
    walk.send("mismatched", effect=walk.effect("AssembleUpload"), reason="it is another file")
    assert walk.configuration == {"failed"}
    assert DropParts("upload-0-abc", "p1") in walk.last.effects.values()
    assert (walk.context["parts"], walk.context["reason"]) == ("", "it is another file")
    assert walk.send("retry", source="client").configuration == {"receiving"}
