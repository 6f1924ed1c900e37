"""Realistic lives of each chart's machines, by which journals are recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.machines.golden import detective_lives, import_lives
from tests.machines.golden.journals import Life


@dataclass(frozen=True)
class Scene:
    """A topic and what happens there."""

    topic: str
    lead: Callable[[Life], None]


SHA = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
ANALYSES = (
    ("EmbedChunks", "embedded", {"chunks": 4}),
    ("IndexChunks", "indexed", {"chunks": 4}),
    ("LinkEntities", "linked", {"entities": 3, "mentions": 7}),
    ("TagEvidence", "tagged", {"tags": ["bridge", "invoice"]}),
    ("SummariseEvidence", "summarised", {"sentences": 2}),
)


def _sent(life: Life, **data: Any) -> None:
    life.begin(source="client", role="editor", **({"filename": "report.pdf", "bytes": 12} | data))
    life.handler("received", sha256=SHA, bytes=12)


def _extracting(life: Life, **data: Any) -> None:
    _sent(life, **data)
    life.done("VerifyUpload", "verified", evidence=7, media_type="application/pdf", title="Report")


def _analysing(life: Life, **data: Any) -> None:
    _extracting(life, **data)
    life.done("ExtractText", "extracted", pages=2, characters=900, chunks=4, title="The report")


def upload_ready(life: Life) -> None:
    life.begin(source="client", role="editor", filename="report.pdf", bytes=12)
    life.handler("receiving_on", received=4)
    life.handler("receiving_on", received=8)
    life.handler("received", sha256=SHA, bytes=12)
    life.done("VerifyUpload", "verified", evidence=7, media_type="application/pdf", title="Report")
    life.done("ExtractText", "extracted", pages=2, characters=900, chunks=4, children=1)
    for effect, event, data in ANALYSES:
        life.done(effect, event, **data)
    life.result("SummariseEvidence", "summarised", sentences=2)
    life.client("cancel")


def upload_attached(life: Life) -> None:
    _analysing(life, parent=3)
    for effect, event, data in sorted(ANALYSES[2:]) + list(ANALYSES[:2]):
        life.done(effect, event, **data)


def upload_locked(life: Life) -> None:
    _extracting(life)
    life.done("ExtractText", "needs_password", reason="the file asks for a password")
    life.client("unlock", role="viewer", secret="0123456789")
    life.client("unlock", role="editor", secret="short")
    life.client("unlock", role="editor", secret="0123456789")
    life.done("ExtractText", "needs_password", reason="the password is wrong")
    life.client("unlock", secret="9876543210")
    life.done("ExtractText", "extracted", pages=1, characters=9, chunks=0)


def upload_interrupted(life: Life) -> None:
    life.begin(source="client", role="editor", filename="scan.pdf", bytes=90)
    life.handler("receiving_on", received=10)
    life.handler("interrupted", reason="the connection ended after 10 of 90 bytes")
    life.handler("resumed")
    life.timer("silent")
    life.timer("silent")
    life.client("retry")


def upload_refused(life: Life) -> None:
    life.begin(source="client", role="editor", filename="empty.pdf")
    life.handler("refused", reason="the file is empty")
    life.client("cancel")
    life.client("cancel")


def upload_duplicate(life: Life) -> None:
    _sent(life)
    life.start("VerifyUpload")
    life.result("VerifyUpload", "recognised", evidence=5, title="The same report")
    life.result("VerifyUpload", "recognised", evidence=5, title="The same report")


def upload_unsupported(life: Life) -> None:
    _sent(life, filename="photo.png")
    life.done("VerifyUpload", "unsupported", reason="this is an image", media_type="image/png")
    life.client("retry")


def upload_breaks(life: Life) -> None:
    _sent(life)
    life.start("VerifyUpload")
    for _ in range(2):
        life.broke("VerifyUpload", "the disk is full", temporary=True)
        life.timer("again", stage="verifying")
        life.start("VerifyUpload")
    life.broke("VerifyUpload", "the disk is full", temporary=True)
    life.client("retry")
    life.done("VerifyUpload", "verified", evidence=7, media_type="application/pdf", title="Report")
    life.broke("ExtractText", "the file is damaged")


def upload_half_broken(life: Life) -> None:
    _analysing(life)
    life.done("LinkEntities", "linked", entities=3, mentions=7)
    life.start("TagEvidence")
    life.broke("TagEvidence", "no words were found")
    life.broke("SummariseEvidence", "no sentences were found")
    life.done("EmbedChunks", "embedded", chunks=4)
    life.broke("IndexChunks", "it failed unexpectedly (ValueError)")
    life.client("retry", role="viewer")
    life.client("retry", role="editor")
    for effect, event, data in (ANALYSES[1], ANALYSES[3], ANALYSES[4]):
        life.done(effect, event, **data)


def upload_overruns(life: Life) -> None:
    _analysing(life)
    for _ in range(2):
        life.start("LinkEntities")
        life.start("LinkEntities")
        life.timer("deadline", stage="linking")
        life.result("LinkEntities", "linked", entities=1, mentions=1)
        life.timer("again", stage="linking")
    life.start("LinkEntities")
    life.timer("deadline", stage="linking")
    life.broke("EmbedChunks", "the GPU was lost")
    life.client("cancel", role="editor")


def upload_forged(life: Life) -> None:
    _sent(life)
    life.client("verified", effect=life.id_of("VerifyUpload"), evidence=1, media_type="", title="")
    life.client("__initial__")
    life.handler("verified", effect=life.id_of("VerifyUpload"))
    life.handler("started", effect="upload-0-other:9:0", stage="verifying")
    life.client("cancel", role="editor")
    life.start("VerifyUpload")


def _ready(life: Life, **data: Any) -> None:
    _analysing(life, **data)
    for effect, event, result in ANALYSES:
        life.done(effect, event, **result)


def upload_removed(life: Life) -> None:
    _ready(life)
    life.client("remove", role="viewer")
    life.client("remove", role="editor", actor="ann", reason="sent by mistake")
    life.client("erase", role="editor")
    life.client("restore", role="editor")
    life.client("remove", role="editor")
    life.timer("grace_over")
    life.broke("ForgetEvidence", "the index is away")
    life.client("retry", role="editor")
    life.done("ForgetEvidence", "forgotten")
    life.client("restore")


def upload_locked_removed(life: Life) -> None:
    _extracting(life)
    life.done("ExtractText", "needs_password", reason="the file asks for a password")
    life.client("remove", role="editor")
    life.client("restore", role="editor")
    life.client("remove", role="editor")
    life.client("erase", role="owner")
    life.done("ForgetEvidence", "forgotten")


def upload_failed_removed(life: Life) -> None:
    _extracting(life)
    life.broke("ExtractText", "the file is damaged")
    life.client("remove", role="editor")
    life.client("restore", role="editor")
    life.client("remove", role="editor")
    life.handler("swept")
    life.done("ForgetEvidence", "forgotten")


def upload_in_parts(life: Life) -> None:
    life.begin(source="client", role="editor", filename="mail.pst", bytes=90)
    life.handler("interrupted", reason="the connection ended", received=40)
    life.handler("resumed", received=40)
    life.handler("gathered", parts="0f3a", bytes=90)
    life.done("AssembleUpload", "mismatched", reason="it is another file")
    life.client("retry", role="editor")
    life.handler("gathered", parts="7c21", bytes=90)
    life.broke("AssembleUpload", "the disk is full")
    life.client("retry", role="editor")
    life.done("AssembleUpload", "assembled", sha256=SHA, bytes=90)
    life.start("VerifyUpload")
    life.client("cancel", role="editor")
    life.done("ForgetEvidence", "forgotten")


def upload_expected_anew(life: Life) -> None:
    life.begin(source="client", role="editor", filename="report.pdf", bytes=90)
    life.timer("silent")
    life.timer("silent")
    life.client("remove", role="editor")
    life.client("retry", role="editor")
    life.handler("swept")
    life.client("retry")


FOUND = [{"node": 11, "score": 0.75}, {"node": 12, "score": 0.5}]


def _hit(node: int) -> dict[str, Any]:
    return {
        "node": node,
        "evidence": 7,
        "title": "The report",
        "place": {"page": 2, "start": 10, "end": 44, "boxes": [[72.0, 90.5, 300.0, 104.25]]},
        "snippet": "the bridge was closed in March",
        "highlights": [[4, 10]],
        "legs": {"words": 0.75, "meaning": 0.5},
        "path": [{"source": "bridge", "kind": "mention", "target": "chunk"}],
    }


def _order(*nodes: int) -> list[dict[str, Any]]:
    return [{"node": node, "score": 1.0 / place} for place, node in enumerate(nodes, start=1)]


ANSWER = {
    "mode": "extractive",
    "supported": True,
    "text": "The bridge was closed in March.",
    "claims": [
        {
            "text": "The bridge was closed in March.",
            "citations": [
                {"node": 11, "evidence": 7, "title": "The report", "page": 2, "start": 10, "end": 44}
            ],
        }
    ],
}


def _asked(life: Life, **data: Any) -> None:
    life.begin(source="client", role="viewer", **({"question": "When was the bridge closed?"} | data))


def _leg(life: Life, effect: str, stage: str, found: list[dict[str, Any]]) -> None:
    life.start(effect)
    life.result(effect, "leg_found", stage=stage, found=found)


def _searched(life: Life) -> None:
    _leg(life, "SearchWords", "by_words", FOUND)
    _leg(life, "SearchMeaning", "by_meaning", FOUND[:1])
    _leg(life, "SearchLinks", "by_links", [])


def _ranked(life: Life, as_of: int = 0) -> None:
    life.done(
        "RankHits",
        "ranked",
        hits=[_hit(11), _hit(12)],
        order=_order(11, 12),
        as_of=as_of,
        nodes=40,
        edges=160,
        votes={},
    )


def query_answered(life: Life) -> None:
    _asked(life)
    _searched(life)
    _ranked(life)
    life.done("ComposeAnswer", "composed", answer=ANSWER)
    life.client("cancel")
    life.client("retry")


def query_voted(life: Life) -> None:
    _asked(life, conversation="query-0-earlier")
    life.done("ResolveQuestion", "resolved")
    life.client("vote", node=11, value=1)
    _searched(life)
    life.client("vote", role="viewer", node=12, value=1)
    life.handler("reranked", order=_order(12, 11), hits=[_hit(12)], as_of=2, votes={"12": 1})
    _ranked(life, as_of=1)
    life.handler("reranked", order=_order(11, 12), as_of=1, votes={})
    life.client("vote", actor="bob", node=12, value=-1)
    life.done("ComposeAnswer", "composed", answer=ANSWER)
    life.handler("reranked", order=_order(11, 12), as_of=3, votes={"12": 0})
    life.client("vote", node=12, value=0)
    life.client("vote", node=12, value=2)


def query_leg_breaks(life: Life) -> None:
    _asked(life)
    life.start("SearchMeaning")
    life.broke("SearchMeaning", "there is no encoder", temporary=True)
    life.timer("again", stage="by_meaning")
    life.start("SearchMeaning")
    life.timer("deadline", stage="by_meaning")
    life.timer("again", stage="by_meaning")
    life.start("SearchMeaning")
    life.timer("deadline", stage="by_meaning")
    _leg(life, "SearchWords", "by_words", FOUND)
    _leg(life, "SearchLinks", "by_links", FOUND)
    _ranked(life)
    life.broke("ComposeAnswer", "the language model is away", temporary=True)
    life.client("cancel", role="viewer")


def query_nothing_searched(life: Life) -> None:
    _asked(life)
    life.broke("SearchLinks", "no")
    life.broke("SearchWords", "no")
    life.broke("SearchMeaning", "no")
    life.client("vote", node=11, value=1)
    life.client("retry")
    _searched(life)
    life.broke("RankHits", "the graph is gone")
    life.client("retry")
    life.client("cancel")
    life.client("retry")


def query_redacted(life: Life) -> None:
    _asked(life)
    life.handler("withheld", evidence=7, hidden=True)
    life.handler("withheld", evidence=7, hidden=False)
    _searched(life)
    life.client("redacted", evidence=7)
    life.handler("redacted", evidence=9)
    _ranked(life)
    life.handler("redacted", evidence=8, retold=[11])
    life.done("ComposeAnswer", "composed", answer=ANSWER)
    life.handler("withheld", evidence=7, hidden=True)
    life.handler("redacted", evidence=7)
    life.handler("reranked", order=_order(12, 11), hits=[_hit(12)], as_of=2, votes={"12": 1})


def query_late_results(life: Life) -> None:
    _asked(life)
    _leg(life, "SearchWords", "by_words", FOUND)
    life.result("SearchWords", "leg_found", stage="by_words", found=FOUND)
    life.result("SearchMeaning", "leg_found", stage="by_links", found=FOUND)
    life.client("cancel")
    life.result("SearchMeaning", "leg_found", stage="by_meaning", found=FOUND)


UNDERSTOOD = {"text": "Who paid Ann Orr?", "way": "rules", "evidence": [7]}
READ = {"url": "https://news.example.org/feed", "ok": True, "fetched_at": 5.0, "articles": 1}
SHUT = {"url": "https://shut.example.org/", "ok": False, "reason": "no answer within 20 s"}


def query_follow_up(life: Life) -> None:
    _asked(life, question="And who paid him?", conversation="query-0-earlier")
    life.start("ResolveQuestion")
    life.done("ResolveQuestion", "resolved", understood=UNDERSTOOD)
    _searched(life)
    _ranked(life)
    life.handler("withheld", evidence=7, hidden=True)
    life.handler("redacted", evidence=7)
    life.done("ComposeAnswer", "composed", answer=ANSWER)


def query_not_understood(life: Life) -> None:
    _asked(life, conversation="query-0-earlier")
    life.handler("redacted", evidence=7)
    life.done("ResolveQuestion", "resolved", understood=UNDERSTOOD)
    _searched(life)


def query_resolving_breaks(life: Life) -> None:
    _asked(life, conversation="query-0-earlier", extended=True)
    life.broke("ResolveQuestion", "the conversation cannot be read")
    life.start("FetchArticles")
    life.broke("FetchArticles", "the sources are away", temporary=True)
    life.timer("again", stage="fetching_articles")
    life.broke("FetchArticles", "CASEWIRE_SOURCES names none")
    _searched(life)


def query_extended(life: Life) -> None:
    _asked(life, extended=True)
    life.done("FetchArticles", "fetched", sources=[READ, SHUT], passages=3)
    life.done("EmbedArticles", "articles_embedded", found=[{"node": 90, "meaning": 0.5, "words": 2.0}])
    _searched(life)
    life.client("vote", node=90, value=1)
    article = _hit(90) | {"evidence": 0, "source": "article", "url": READ["url"], "fetched_at": 5.0}
    life.done(
        "RankHits",
        "ranked",
        hits=[_hit(11), article],
        order=_order(11),
        articles=_order(90),
        as_of=0,
        nodes=40,
        edges=160,
        votes={},
    )
    life.handler("reranked", order=_order(12, 11), hits=[_hit(12)], as_of=2, votes={"12": 1})
    life.done("ComposeAnswer", "composed", answer=ANSWER)


def query_nothing_outside(life: Life) -> None:
    _asked(life, extended=True)
    life.done("FetchArticles", "fetched", sources=[SHUT], passages=0)
    life.client("cancel", role="viewer")


def case_whole(life: Life) -> None:
    life.begin(actor="ann", title="The bridge", description="Closed in March")
    life.client("rename", role="editor", title="The old bridge")
    life.client("close", role="editor")
    life.client("hold", role="editor")
    life.handler("changed", part="members")
    life.client("rename", title="The new bridge")
    life.client("proceed", role="editor")
    life.client("hold", role="viewer")
    life.client("close")
    life.client("rename", title="Too late")
    life.handler("changed", part="pois")
    life.handler("changed", part="evidence")
    life.client("reopen", role="editor")
    life.client("reopen")
    life.handler("changed", part="standing")
    life.client("hold")
    life.client("close")


def case_refused(life: Life) -> None:
    life.begin(title="The bridge")
    life.client("rename", title="")
    life.client("changed", part="members")
    life.handler("changed", part="weather")
    life.client("reopen")


def case_removed(life: Life) -> None:
    life.begin(actor="ann", title="The bridge", description="Closed in March")
    life.client("hold")
    life.client("remove", role="editor")
    life.client("remove", reason="it was opened twice")
    life.client("rename", title="Too late")
    life.handler("changed", part="evidence")
    life.client("restore", role="editor")
    life.client("restore")
    life.client("close")
    life.client("remove", actor="bob")
    life.timer("grace_over")
    life.done("EraseCase", "not_yet", left=2)
    life.client("restore")
    life.timer("drain")
    life.broke("EraseCase", "the graph is away")
    life.client("retry")
    life.done("EraseCase", "erased")
    life.client("retry")


def case_erased_at_once(life: Life) -> None:
    life.begin(actor="ann", title="The bridge")
    life.client("remove")
    life.client("restore")
    life.client("remove")
    life.client("erase", role="editor")
    life.client("erase", actor="bob")
    life.start("EraseCase")
    life.timer("deadline", stage="erasing")
    life.timer("again", stage="erasing")
    life.done("EraseCase", "erased")


def notification_read(life: Life) -> None:
    life.begin(title="report.pdf is ready", body="4 passages", about="case:c1", evidence=7)
    life.result("DeliverToast", "went_out", pages=2)
    life.client("mark_read", role="viewer")
    life.client("mark_read")


def notification_fails(life: Life) -> None:
    life.begin(title="report.pdf failed", body="the file is damaged", level="warning", about="case:c1")
    life.start("DeliverToast")
    life.broke("DeliverToast", "the hub is away", temporary=True)
    life.timer("again", stage="delivering")
    life.broke("DeliverToast", "the hub is away", temporary=True)
    life.timer("again", stage="delivering")
    life.start("DeliverToast")
    life.timer("deadline", stage="delivering")
    life.client("retry")
    life.broke("DeliverToast", "it was tried 5 times")
    life.client("mark_read")


def notification_read_early(life: Life) -> None:
    life.begin(title="report.pdf is ready")
    life.client("mark_read")
    life.result("DeliverToast", "went_out", pages=1)


PLACE = {
    "evidence": 7, "title": "The report", "mentions": 2, "slips": 1, "node": 9, "page": 2, "start": 40,
    "end": 51, "snippet": "… so Ada Example said …", "marked": [5, 16], "slip": False,
}  # fmt: skip


def _found(life: Life, **data: Any) -> None:
    counts = {"mentions": 3, "slips": 1, "evidence": 1, "added": 3, "removed": 0, "places": [PLACE]}
    life.done("SearchPoi", "searched", **(counts | data))


def search_found(life: Life) -> None:
    life.begin(poi=4, called="Ada Example", aliases=["A. Example"])
    life.done("SizePoiSearch", "sized", chunks=900, seconds=0.2, large=False)
    _found(life)
    life.client("seen", role="viewer")
    life.client("seen", role="viewer")
    life.handler("withheld", evidence=7, hidden=True)
    life.handler("withheld", evidence=7, hidden=False)
    life.handler("redacted", evidence=7)
    life.handler("renamed", called="Ada Example", aliases=["A. Example"])
    life.handler("renamed", called="Ada Sample", aliases=[])
    life.done("SizePoiSearch", "sized", chunks=900, seconds=0.2, large=False)
    _found(life, mentions=1, slips=0, added=0, removed=2)
    life.handler("swept")
    life.client("retry")


def search_asked(life: Life) -> None:
    life.begin(poi=4, called="Ada Example")
    life.done("SizePoiSearch", "sized", chunks=900_000, seconds=100.0, large=True)
    life.client("confirm", role="viewer")
    life.client("decline", role="editor")
    life.client("confirm", role="editor")
    life.start("SearchPoi")
    life.client("cancel", role="editor")
    life.result("SearchPoi", "searched", mentions=0, slips=0, evidence=0, added=0, removed=0, places=[])
    life.client("confirm")
    _found(life, mentions=0, slips=0, evidence=0, added=0, places=[])


def search_superseded(life: Life) -> None:
    life.begin(poi=4, called="Ada Example")
    life.done("SizePoiSearch", "sized", chunks=900, seconds=0.2, large=False)
    life.start("SearchPoi")
    life.handler("renamed", called="Ada Sample", aliases=[])
    life.result("SearchPoi", "searched", mentions=3, slips=0, evidence=1, added=3, removed=0, places=[])
    life.done("SizePoiSearch", "sized", chunks=0, seconds=0.0, large=False)
    _found(life, mentions=0, slips=0, evidence=0, added=0, places=[])


def search_breaks(life: Life) -> None:
    life.begin(poi=4, called="Ada Example")
    life.broke("SizePoiSearch", "the database is away", temporary=True)
    life.timer("again", stage="sizing")
    life.done("SizePoiSearch", "sized", chunks=900, seconds=0.2, large=False)
    life.start("SearchPoi")
    life.timer("deadline", stage="searching")
    life.timer("again", stage="searching")
    life.broke("SearchPoi", "the person of interest does not exist any more")
    life.client("retry", role="editor")
    life.client("cancel", role="editor")
    life.handler("swept")


def _scenes(topic: str, *lives: Callable[[Life], None]) -> dict[str, Scene]:
    return {life.__name__.partition("_")[2].replace("_", "-"): Scene(topic, life) for life in lives}


LIVES: dict[str, dict[str, Scene]] = {
    "case": _scenes("case:c1", case_whole, case_refused, case_removed, case_erased_at_once),
    "detective": _scenes("user:ann", *detective_lives.LIVES),
    "import": _scenes("case:c1", *import_lives.LIVES),
    "notification": _scenes("user:ann", notification_read, notification_fails, notification_read_early),
    "poi_search": _scenes("case:c1", search_found, search_asked, search_superseded, search_breaks),
    "query": _scenes(
        "case:c1",
        query_answered,
        query_voted,
        query_leg_breaks,
        query_nothing_searched,
        query_redacted,
        query_late_results,
        query_follow_up,
        query_not_understood,
        query_resolving_breaks,
        query_extended,
        query_nothing_outside,
    ),
    "upload": _scenes(
        "case:c1",
        upload_ready,
        upload_attached,
        upload_locked,
        upload_interrupted,
        upload_refused,
        upload_duplicate,
        upload_unsupported,
        upload_breaks,
        upload_half_broken,
        upload_overruns,
        upload_forged,
        upload_removed,
        upload_locked_removed,
        upload_failed_removed,
        upload_in_parts,
        upload_expected_anew,
    ),
}
"""Kind → name → life."""
