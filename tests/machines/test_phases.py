"""How long stages took, and which still last."""

from __future__ import annotations

from machines.phases import Phase, busy_since, live_stages, phases
from tests.machines.entries import entry_of
from tests.machines.walk import Walk, verified_upload


def test_a_stage_is_queued_then_running_then_paused_each_for_its_time() -> None:
    walk = Walk("upload", filename="a.pdf", bytes=3)
    entries = [entry_of(walk.last)]

    def send(after_s: float, event: str, **data: object) -> None:
        walk.at += after_s - 1
        walk.send(event, **data)  # type: ignore[arg-type]
        entries.append(entry_of(walk.last))

    send(1, "received", sha256="ab", bytes=3)
    effect = walk.effect("VerifyUpload")
    send(4, "started", effect=effect, stage="verifying")
    send(7, "broke", effect=effect, stage="verifying", reason="no disk", temporary=True)
    send(2, "again", source="timer", stage="verifying")
    effect = walk.effect("VerifyUpload")
    send(5, "started", effect=effect, stage="verifying")
    send(3, "verified", effect=effect, evidence=7, media_type="text/plain", title="A")
    assert phases(entries) == [
        Phase("verifying", "queued", 4),
        Phase("verifying", "running", 7),
        Phase("verifying", "waiting", 2),
        Phase("verifying", "queued", 5),
        Phase("verifying", "running", 3),
    ]


def test_a_cancelled_stage_tells_no_time() -> None:
    walk = verified_upload()
    entries = [entry_of(walk.last)]
    walk.send("cancel", source="client")
    entries.append(entry_of(walk.last))
    assert phases(entries) == []


def test_a_stage_that_was_left_is_not_live_whatever_its_work_says() -> None:
    walk = verified_upload()
    snapshot = walk.last.snapshot
    assert list(live_stages(snapshot.configuration, snapshot.context)) == ["extracting"]
    assert busy_since(snapshot.configuration, snapshot.context) == walk.at
    walk.send("swept")
    walk.send("forgotten", effect=walk.effect("ForgetEvidence"))
    snapshot = walk.last.snapshot
    assert snapshot.context["work"]["extracting"]["status"] == "queued"
    assert live_stages(snapshot.configuration, snapshot.context) == {}
    assert busy_since(snapshot.configuration, snapshot.context) is None
