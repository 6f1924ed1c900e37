"""What nobody would send by accident is refused like any other mistake, and tells nothing."""

from __future__ import annotations

import dataclasses
import json
from time import time
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from server.app import INVITATION_FAILURES
from server.prepare import prepare
from server.services import Services, ServicesError
from server.settings import Settings
from server.status import format_status
from storage.archive import archive
from storage.evidence import NewEvidence
from storage.runtime_records import RuntimeRecords, WorkerState
from tests.server.live import Live

HUGE = 10**30


async def test_a_nul_in_an_address_names_nothing(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = (await ann.case())["id"]
        for path in ("/a%00.js", "/assets/%00.js"):
            assert (await ann.http.get(path)).status_code == 404, path
        for path in ("/api/cases/%00", "/api/machines/%00", f"/api/cases/{case}/entities?kind=%00"):
            assert (await ann.http.get(path)).status_code == 422, path
        assert (await ann.call("DELETE", f"/api/cases/{case}/members/%00")).status_code == 422
        reply = await wire.ask("subscribe", topic="case:\0")
        assert (reply["type"], reply["code"]) == ("error", "not_found")


async def test_a_machine_id_of_a_shard_that_cannot_be_names_nothing(live: Live) -> None:
    async with live.person() as ann:
        for shard in ("ffff", "f" * 5000):
            answer = await ann.http.get(f"/api/machines/upload-{shard}-0123456789")
            assert answer.status_code == 404, answer.text


async def test_a_number_that_no_column_holds_is_refused(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = (await ann.case())["id"]
        attention = {"what": "view", "node": HUGE}
        assert (await ann.call("POST", f"/api/cases/{case}/attention", attention)).status_code == 422
        for body in ({"filename": "a.txt", "parent": HUGE}, {"filename": "a.txt", "parent": 2**63}):
            assert (await ann.call("POST", f"/api/cases/{case}/uploads", body)).status_code == 422
        assert (await ann.http.get(f"/api/cases/{case}/evidence?after={HUGE}")).status_code == 422
        for data in ({"filename": "a.txt", "bytes": HUGE}, {"filename": "a.txt", "parent": HUGE}):
            reply = await wire.ask("spawn", kind="upload", topic=f"case:{case}", data=data)
            assert (reply["type"], reply["code"]) == ("error", "event.payload"), reply
        query = await wire.ask("spawn", kind="query", topic=f"case:{case}", data={"question": "Who?"})
        reply = await wire.ask(
            "send", machine=query["machine"], event="vote", data={"node": HUGE, "value": 1}
        )
        assert (reply["type"], reply["code"]) == ("error", "event.payload"), reply


async def test_a_request_whose_id_cannot_be_repeated_is_refused_and_the_socket_lives(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        await wire.socket.send(json.dumps({"type": "ping", "id": HUGE}))
        assert (await wire.read())["code"] == "frame.invalid"
        assert (await wire.ask("ping"))["type"] == "ok"
        reply = await wire.ask("subscribe", topic=f"user:{ann.id}", since={"epoch": "a", "offset": HUGE})
        assert reply["type"] == "error"


async def test_what_belongs_to_a_foreign_case_looks_like_what_is_not_there(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        foreign, own = (await ann.case())["id"], (await bob.case())["id"]
        async with live.parts.database.begin() as connection:
            entity = await connection.scalar(
                text(
                    "INSERT INTO entities (case_id, kind, key, name, status) "
                    "VALUES (:case, 'person', 'ada', 'Ada', 'suggested') RETURNING id"
                ),
                {"case": foreign},
            )
        new = NewEvidence(foreign, "0" * 64, "upload-0-x", "a.txt", "a.txt", 1, "text/plain", ann.id)
        evidence = (await live.parts.evidence.register(new)).id

        async def both(method: str, path: str, body: Any, there: object) -> list[Any]:
            answers = []
            for number in (there, 10**9):
                filled = {k: number if v == "#" else v for k, v in body.items()} if body else None
                answers.append(await bob.call(method, path.replace("#", str(number)), filled))
            return [(answer.status_code, answer.json()) for answer in answers]

        for method, path, body, there in (
            ("PUT", "/api/entities/#", {"status": "accepted"}, entity),
            ("GET", "/api/evidence/#", None, evidence),
            ("GET", "/api/evidence/#/chunks", None, evidence),
            ("GET", "/api/evidence/#/content", None, evidence),
            ("POST", f"/api/cases/{own}/uploads", {"filename": "a", "parent": "#"}, evidence),
            ("POST", f"/api/cases/{own}/attention", {"what": "view", "node": "#"}, evidence),
        ):
            foreign_one, none = await both(method, path, body, there)
            assert foreign_one[0] == 404
            assert foreign_one == none


async def test_whoever_invites_strangers_at_random_has_to_wait(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case = await ann.case()
        path = f"/api/cases/{case['id']}/members"
        for n in range(INVITATION_FAILURES):
            await ann.invite(case, bob, "viewer")
            answer = await ann.call("PUT", path, {"email": f"nobody{n}@example.org", "role": "viewer"})
            assert answer.status_code == 404
        answer = await ann.call("PUT", path, {"email": "nobody@example.org", "role": "viewer"})
        assert (answer.status_code, answer.json()["code"]) == (429, "rate.limited")


async def test_before_the_first_token_an_answer_in_progress_has_no_content(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        topic = f"case:{(await ann.case())['id']}"
        query = (await wire.ask("spawn", kind="query", topic=topic, data={"question": "Who?"}))["machine"]
        answer = await ann.http.get(f"/api/machines/{query}/partial")
        assert (answer.status_code, answer.content) == (204, b"")
        await live.parts.partials.write(query, 2, "Ada")
        answer = await ann.http.get(f"/api/machines/{query}/partial")
        assert answer.json() == {"attempt": 2, "position": 3, "text": "Ada"}


async def test_a_finished_machine_that_left_redis_is_still_read_and_only_by_those_who_may(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob, ann.socket() as wire:
        topic = f"case:{(await ann.case())['id']}"
        upload = await wire.ask("spawn", kind="upload", topic=topic, data={"filename": "a.txt"})
        path = f"/api/machines/{upload['machine']}"
        await wire.ask("send", machine=upload["machine"], event="cancel")
        before = (await ann.http.get(path)).json()
        snapshot = await live.parts.engine.load(upload["machine"])
        assert snapshot is not None
        async with live.parts.database.begin() as connection:
            await archive(connection, [snapshot])
        await live.parts.store.evict(upload["machine"])
        assert await live.parts.engine.load(upload["machine"]) is None
        after = await ann.http.get(path)
        assert (after.status_code, after.json()) == (200, before)
        assert after.json()["configuration"] == ["cancelled"]
        assert (await bob.http.get(path)).status_code == 404


async def test_another_number_of_shards_is_refused_with_the_number_to_set(
    settings: Settings, services: Services, database: str, redis_client: Redis
) -> None:
    await prepare(settings, services)
    await prepare(settings, services)
    with pytest.raises(ServicesError, match=f"written with {settings.shards}: set it to {settings.shards}"):
        await prepare(settings.model_copy(update={"shards": settings.shards + 1}), services)
    await prepare(settings, services)


async def test_a_redis_of_another_instance_is_refused_and_left_as_it_is(
    settings: Settings, services: Services, database: str, redis_client: Redis
) -> None:
    queue_url = services.queue_url.replace("db=0", "db=1")
    queue = Redis.from_url(queue_url)
    try:
        await queue.flushdb()
        mine = dataclasses.replace(services, queue_url=queue_url)
        await prepare(settings, mine)
        await prepare(settings, mine)
        await queue.set("casewire:instance", "another")
        with pytest.raises(ServicesError, match="CASEWIRE_QUEUE_URL is used with another database"):
            await prepare(settings, mine)
        assert await queue.get("casewire:instance") == b"another"
    finally:
        await queue.flushdb()
        await queue.aclose()


async def test_what_workers_do_and_what_was_given_up_is_for_the_administrator_alone(live: Live) -> None:
    records = RuntimeRecords(live.parts.redis)
    state = WorkerState(
        "cpu-0-a",
        "cpu",
        "host",
        1,
        "busy",
        "upload-0-a:2:0",
        "ExtractText",
        "upload-0-a",
        0.0,
        1,
        "cpu",
        0,
        time(),
    )
    await records.report(state)
    await records.bury({"name": "Notify", "machine": "upload-0-a", "reason": "it failed 5 times"})
    async with live.person() as first, live.person("bob") as bob:
        seen, hidden = [(await who.http.get("/api/status")).json() for who in (first, bob)]
        assert [worker["machine"] for worker in seen["workers"]] == ["upload-0-a"]
        assert "given up        Notify of upload-0-a: it failed 5 times" in format_status(seen)
        assert [worker["effect_name"] for worker in hidden["workers"]] == ["ExtractText"]
        assert "upload-0-a" not in json.dumps(hidden)
