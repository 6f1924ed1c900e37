"""What `/metrics` tells, to whom, and that it tells it for every process."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from server.metrics import BUCKETS, METRICS, Tally
from server.reporter import carry
from server.services import Services
from server.settings import Settings
from storage.metric_sums import MetricSums
from tests.server.live import Live, Person, running
from tests.server.runtime_parts import until

Sample = tuple[str, tuple[tuple[str, str], ...]]


async def read(person: Person, **headers: str) -> dict[Sample, float]:
    answer = await person.http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(name: str, **labels: str) -> Sample:
    return name, tuple(sorted(labels.items()))


async def test_a_small_flow_is_counted(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        before = await read(ann)
        case = (await ann.case())["id"]
        topic = f"case:{case}"
        await wire.ask("subscribe", topic=topic)
        query = await wire.ask("spawn", kind="query", topic=topic, data={"question": "Who was there?"})
        refused = await wire.ask("send", machine=query["machine"], event="retry")
        assert refused["code"] == "event.not_allowed"
        cancelled = await wire.ask("send", machine=query["machine"], event="cancel", event_id="1")

        def is_told(message: dict[str, Any]) -> bool:
            return message.get("revision") == 2 and message["type"] == "entry"

        if not any(map(is_told, wire.seen)):  # the entry may come before the reply
            await wire.until(is_told)
        again = await wire.ask("send", machine=query["machine"], event="cancel", event_id="1")
        assert (cancelled["repeated"], again["repeated"]) == (False, True)
        after = await read(ann)

        def grown(name: str, **labels: str) -> float:
            return after.get(of(name, **labels), 0.0) - before.get(of(name, **labels), 0.0)

        assert grown("casewire_transitions_total", kind="query", event="spawn") == 1
        assert grown("casewire_transitions_total", kind="query", event="cancel") == 1
        assert grown("casewire_transitions_total", kind="case", event="spawn") == 1
        assert grown("casewire_refused_total", code="event.not_allowed") == 1
        assert grown("casewire_commit_seconds_count") >= 3
        assert grown("casewire_pushed_total", type="entry") >= 2
        assert grown("casewire_http_requests_total", method="POST", route="/api/cases", status="201") == 1
        assert grown("casewire_http_request_seconds_count", route="/api/cases") == 1
        assert after[of("casewire_sockets")] == 1
        assert after[of("casewire_subscribers")] == 1
        assert after[of("casewire_servers")] == 1
        assert after[of("casewire_service_up", service="redis")] == 1
        assert after[of("casewire_queue_jobs", queue="gpu")] >= 0
        assert after[of("casewire_awaited_effects")] == 0
        assert of("process_resident_memory_bytes") in after
        assert of("python_gc_collections_total", generation="0") in after
        assert not any(case in str(sample) or query["machine"] in str(sample) for sample in after)


async def test_machines_are_counted_by_kind_and_state(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        topic = f"case:{(await ann.case())['id']}"
        for _ in range(2):
            await wire.ask("spawn", kind="upload", topic=topic, data={"filename": "a.txt"})

        async def counted() -> bool:
            live.parts.census._at = float("-inf")  # a count is kept for a while
            found = await read(ann)
            return found.get(of("casewire_machines", kind="upload", version="3", state="receiving")) == 2

        await until(counted)


async def test_metrics_are_for_administrators_and_the_holder_of_the_token(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> None:
    token = "a-token-of-enough-characters"
    with_token = settings.model_copy(update={"metrics_token": token})
    async with running(with_token, services) as live, live.person() as ann, live.person("bob") as bob:
        assert await read(ann)  # the first account administers
        refused = await bob.http.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (403, "admin.needed")
        async with live.person("prometheus", login=False) as scraper:
            assert (await scraper.http.get("/metrics")).status_code == 401
            for wrong in ("Bearer", "Bearer a-token", token, f"Basic {token}"):
                answer = await scraper.http.get("/metrics", headers={"Authorization": wrong})
                assert answer.status_code == 401, wrong
            assert await read(scraper, Authorization=f"Bearer {token}")


async def test_openmetrics_is_spoken_where_it_is_asked_for(live: Live) -> None:
    async with live.person() as ann:
        answer = await ann.http.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")


async def test_sums_outlive_the_process_that_counted(redis_client: Redis) -> None:
    sums = MetricSums(redis_client)
    for _ in range(2):
        one = Tally()
        one.count("casewire_transitions", "query", "spawn")
        one.observe(0.003, "casewire_commit_seconds")
        await carry(sums, one)
        one.count("casewire_transitions", "query", "spawn")
        await carry(sums, one)
        await carry(sums, one)
    assert await sums.read() == {
        ("casewire_transitions", "query", "spawn"): 4,
        ("casewire_commit_seconds", "0.005"): 2,
        ("casewire_commit_seconds", "sum"): pytest.approx(0.006),
    }


async def test_what_could_not_be_reported_is_reported_later(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, sums = Tally(), MetricSums(redis_client)
    one.count("casewire_refused", "result.stale")
    with monkeypatch.context() as patch:
        patch.setattr(sums, "add", _fails)
        with pytest.raises(ConnectionError):
            await carry(sums, one)
    await carry(sums, one)
    assert await sums.read() == {("casewire_refused", "result.stale"): 1}


async def _fails(_: object) -> None:
    raise ConnectionError


def test_a_value_on_a_bound_belongs_to_its_bucket() -> None:
    one = Tally()
    for value in (0.0, BUCKETS[0], BUCKETS[0] * 1.01, BUCKETS[-1], BUCKETS[-1] + 1):
        one.observe(value, "casewire_commit_seconds")
    buckets = {series[1]: count for series, count in one.sums.items() if series[1] != "sum"}
    assert buckets == {"0.0005": 2, "0.001": 1, "600": 1, "+Inf": 1}


def test_no_metric_has_a_label_that_could_name_a_machine_or_a_person() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels}
    assert labels == {
        *("kind", "event", "code", "type", "why", "method", "route", "status", "effect", "result", "follower")
    }
