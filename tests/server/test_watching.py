"""One question, followed by one trace id through every process; and no word of the case in any log line."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from redis.asyncio import Redis

from server.client import Client, Refused
from server.services import Services
from storage import trace
from tests.bench.serving import free_port
from tests.handlers.files import pdf
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
MARK = "Zyxwvutmarker"
"""Stands in everything that people type and every file they send."""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HTTP_TRACE = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Collected:
    """A span as the collector got it."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent: str
    kind: int
    attributes: dict[str, Any]


@contextmanager
def collector() -> Iterator[tuple[str, list[Collected]]]:
    """An OTLP receiver on loopback."""
    spans: list[Collected] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Collected]:
    for resource in request.resource_spans:
        service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Collected(
                    span.name,
                    service,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes},
                )


@dataclass
class Watched:
    """What was seen of the flow from outside."""

    lines: list[str] = field(default_factory=list)
    spans: list[Collected] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    query: str = ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(services: Services, _migrated: str) -> AsyncIterator[Watched]:
    """A server with both workers, everything logged and every span sent, and one flow through it."""
    redis = Redis.from_url(services.redis_url)
    await redis.flushall()
    await redis.aclose()
    seen = Watched()
    with tempfile.TemporaryDirectory(prefix="casewire-test-") as folder, collector() as (endpoint, spans):
        port = free_port()
        environment = os.environ | {
            "REDIS_URL": services.redis_url,
            "DATABASE_URL": services.database_url,
            "CASEWIRE_DATA": folder,
            "CASEWIRE_PORT": str(port),
            "CASEWIRE_LOG_LEVEL": "debug",
            "CASEWIRE_LOG_FORMAT": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        }
        with (Path(folder) / "log").open("w+b") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server.cli", "serve", env=environment, cwd=ROOT, stderr=log, stdout=log
            )
            try:
                await _healthy(f"http://127.0.0.1:{port}", process)
                await _live_through(f"http://127.0.0.1:{port}", Path(folder), seen)
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGINT)
                try:
                    await asyncio.wait_for(process.wait(), PATIENCE_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()
                log.seek(0)
                seen.lines = log.read().decode().splitlines()
                seen.spans = spans
    yield seen


async def _healthy(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
        while process.returncode is None:
            try:
                if (await http.get(f"{url}/healthz")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise AssertionError("the server did not start")


async def _live_through(url: str, folder: Path, seen: Watched) -> None:
    async with Client(url, timeout_s=90) as client:
        password, email = f"{MARK} is my password", f"{MARK.lower()}@example.org"
        await client.register(email, f"Ann {MARK}", password)
        await _refused(client.request("POST", "/api/login", {"email": email, "password": password + "!"}))
        case = (await client.request("POST", "/api/cases", {"title": f"The {MARK} case"}))["id"]
        topic = f"case:{case}"
        await client.request("POST", f"/api/cases/{case}/pois", {"name": f"{MARK} Poe"})
        await client.connect()
        client.listeners.append(lambda m: seen.entries.append(m) if m["type"] == "entry" else None)
        await client.subscribe(topic)
        text = f"Ms {MARK} Poe closed the bridge in March. The bridge is old. {MARK} went home.".encode()
        uploads = [
            await client.upload(case, f"{MARK}.txt", text, len(text)),
            await client.upload(case, f"{MARK}.exe", b"MZ" + text, len(text) + 2),
            await client.upload_file(case, pdf(folder / f"{MARK}.pdf", [MARK], title=MARK, password=MARK)),
            await client.upload(case, f"{MARK}2.pdf", b"%PDF-1.4 " + text, len(text) + 9),
        ]
        at_rest = {"ready", "failed", "duplicate", "locked"}

        def ended(*machines: str) -> bool:
            known = [client.machine(machine) for machine in machines]
            return all(m is not None and at_rest & set(m["configuration"]) for m in known)

        await client.wait_for(lambda: ended(*uploads))
        (locked,) = (m for m in uploads if client.machine(m)["configuration"] == ["locked"])
        await client.request("POST", f"/api/uploads/{locked}/unlock", {"password": f"not {MARK}"})
        await client.request("GET", "/api/cases", headers={"traceparent": HTTP_TRACE})

        # Whatever is wrong with a request is not repeated either.
        await _refused(client.request("POST", "/api/cases", {"title": "", MARK: MARK}))
        await _refused(client.request("GET", f"/api/{MARK}?{MARK}={MARK}"))
        await _refused(client.call({"type": MARK}))
        await _refused(client.spawn(MARK, topic, {"question": MARK}))
        await _refused(client.spawn("query", topic, {"question": MARK, MARK: MARK}))

        asked = await client.call(
            {
                "type": "spawn",
                "kind": "query",
                "topic": topic,
                "data": {"question": f"When did {MARK} Poe close the bridge?"},
                "event_id": "1",
                "trace": TRACE,
            }
        )
        seen.query = asked["machine"]
        await _refused(client.send(seen.query, MARK, {MARK: MARK}))
        await client.wait_for(lambda: "answered" in client.machine(seen.query)["configuration"])
        node = client.machine(seen.query)["context"]["order"][0]["node"]
        await client.send(seen.query, "vote", {"node": node, "value": 1})
        await client.wait_for(lambda: client.machine(seen.query)["context"]["votes"] != {})
        await client.wait_for(lambda: ended(locked))


async def _refused(asking: Any) -> None:
    try:
        await asking
    except Refused:
        return
    raise AssertionError("it was not refused")


def test_no_log_line_holds_a_word_of_the_case(watched: Watched) -> None:
    assert len(watched.lines) > 50
    assert [line for line in watched.lines if MARK.lower() in line.lower()] == []


def test_every_log_line_is_json_with_its_sentence_level_and_logger(watched: Watched) -> None:
    for line in watched.lines:
        told = json.loads(line)
        assert {"event", "level", "logger", "timestamp"} <= told.keys(), line
    assert not [line for line in watched.lines if json.loads(line)["level"] in ("error", "critical")]


def test_the_log_lines_of_a_job_tell_its_trace_machine_and_effect(watched: Watched) -> None:
    told = [json.loads(line) for line in watched.lines]
    (failed,) = (line for line in told if line.get("action") == "job.broke")
    assert failed["machine"].startswith("upload-")
    assert failed["effect"].startswith(failed["machine"])
    assert len(failed["trace_id"]) == 32
    mine = {line["action"]: line for line in told if line.get("trace_id") == trace.trace_id(TRACE)}
    assert mine["event.applied"]["machine"] == mine["job.ended"]["machine"] == watched.query
    assert mine["job.ended"]["effect"].startswith(watched.query)


def test_one_trace_leads_from_the_question_through_every_process_to_the_answer(watched: Watched) -> None:
    mine = {span.span_id: span for span in watched.spans if span.trace_id == trace.trace_id(TRACE)}
    roots = [span for span in mine.values() if span.parent not in mine]
    assert {(span.name, span.parent) for span in roots} == {("query spawn", TRACE.split("-")[2])}

    def way(span: Collected) -> list[str]:
        return [*(way(mine[span.parent]) if span.parent in mine else []), span.name]

    ways = {tuple(way(span)) for span in mine.values()}
    asked = ("query spawn", "commit")
    searched = (*asked, "process SearchWords", "query leg_found", "commit")
    assert asked in ways
    assert (*asked, "send cpu") in ways
    assert searched in ways
    (answered,) = (w for w in ways if w[-3:] == ("process ComposeAnswer", "query composed", "commit"))
    assert answered[:2] == asked
    assert (*answered, "push") in ways
    services = {span.name: span.service for span in mine.values()}
    assert services["query spawn"] == services["push"] == "casewire-server"
    assert services["process SearchWords"] == services["query leg_found"] == "casewire-worker"


def test_every_entry_of_a_machine_carries_the_trace_that_led_to_it(watched: Watched) -> None:
    entries = [entry for entry in watched.entries if entry["machine"] == watched.query]
    by_event = {entry["event"]: trace.trace_id(entry["trace"]) for entry in entries}
    assert {by_event[event] for event in ("spawn", "started", "leg_found", "ranked", "composed")} == {
        trace.trace_id(TRACE)
    }
    assert by_event["vote"] not in ("", trace.trace_id(TRACE))
    assert by_event["reranked"] == by_event["vote"]
    assert all(trace.is_traceparent(entry["trace"]) for entry in watched.entries)
    sent = {span.span_id for span in watched.spans if span.name == "commit"}
    assert {entry["trace"].split("-")[2] for entry in entries} <= sent


def test_a_request_over_http_belongs_to_the_trace_in_its_header(watched: Watched) -> None:
    (span,) = (span for span in watched.spans if span.trace_id == trace.trace_id(HTTP_TRACE))
    assert (span.name, span.parent) == ("GET /api/cases", HTTP_TRACE.split("-")[2])
    assert span.attributes["http.route"] == "/api/cases"
    assert span.attributes["http.response.status_code"] == 200


def test_no_span_holds_a_word_of_the_case(watched: Watched) -> None:
    assert len(watched.spans) > 100
    assert [span for span in watched.spans if MARK.lower() in repr(span).lower()] == []
