"""Machines are found by what they are, and only by those who may see them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from server.inspect_journal import _following
from server.inspect_search import parse_cursor
from storage.journal_stream import JournalStream
from storage.machine_store import shard_of_machine
from tests.server.live import Live, Person
from tests.server.test_uploads import announce, eventually


async def machines(person: Person, query: str = "") -> list[dict[str, Any]]:
    answer = await person.http.get(f"/api/machines?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["machines"]
    return found


async def ids(person: Person, query: str = "") -> list[str]:
    return [machine["machine"] for machine in await machines(person, query)]


async def archived(live: Live) -> None:
    """Wait until everything has reached PostgreSQL."""
    stream = JournalStream(live.parts.redis, shards=live.parts.settings.shards)

    async def carried() -> bool:
        return not await stream.lengths()

    await eventually(carried)


async def test_filters_narrow_the_list_and_find_what_has_just_happened(live: Live) -> None:
    async with live.person() as ann:
        one, other = await ann.case("One"), await ann.case("Other")
        first = await announce(ann, one, "bridge-report.pdf")
        second = await announce(ann, other, "statement.md")
        await live.parts.engine.send(first, "cancel", {}, source="client", actor=ann.id, role="owner")
        for _ in ("fresh", "archived"):
            assert (await ids(ann))[0] == first
            assert set(await ids(ann, "kind=upload")) == {first, second}
            assert await ids(ann, "state=cancelled") == [first]
            assert await ids(ann, "kind=upload&life=live") == [second]
            assert await ids(ann, "life=finished") == [first]
            assert await ids(ann, f"case={other['id']}&kind=upload") == [second]
            assert await ids(ann, f"topic=case:{one['id']}&kind=upload") == [first]
            assert await ids(ann, f"text={second[:-4]}") == [second]
            assert await ids(ann, "text=BRIDGE") == [first]
            assert await ids(ann, f"changed_before={time.time() - 60}") == []
            assert len(await ids(ann, f"changed_after={time.time() - 60}")) == 4
            await archived(live)
        assert set(await ids(ann, "owner=me&kind=upload")) == {first, second}
        assert await ids(ann, "owner=somebody") == []
        row = (await machines(ann, "state=cancelled"))[0]
        assert (row["title"], row["spawned_by"], row["spawned_by_name"]) == (
            "bridge-report.pdf",
            ann.id,
            "Ann",
        )


async def test_pages_follow_each_other_by_their_cursor(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        made = [await announce(ann, case, f"{n}.txt") for n in range(5)]
        await archived(live)
        seen: list[str] = []
        after = ""
        for _ in range(3):
            page = (await ann.http.get(f"/api/machines?kind=upload&limit=2{after}")).json()
            seen += [machine["machine"] for machine in page["machines"]]
            after = f"&after={page['next']}"
        assert seen == made[::-1]
        assert page["next"] is None


async def test_nobody_sees_or_counts_machines_of_other_people_s_cases(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        upload = await announce(ann, case)
        await archived(live)
        for query in (
            "",
            f"case={case['id']}",
            f"topic=case:{case['id']}",
            f"text={upload}",
            f"owner={ann.id}",
        ):
            assert await ids(bob, query) == []
        assert (await bob.http.get("/api/machines/counts")).json()["states"] == []
        assert (await bob.http.get(f"/api/machines/{upload}/journal")).status_code == 404
        await ann.invite(case, bob, "viewer")
        assert upload in await ids(bob, f"case={case['id']}")
        assert (await bob.http.get(f"/api/machines/{upload}/journal")).status_code == 200


async def test_counts_tell_how_many_machines_are_in_which_state(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        first = await announce(ann, case)
        await announce(ann, case)
        await live.parts.engine.send(first, "cancel", {}, source="client", actor=ann.id, role="owner")
        await archived(live)
        counts = (await ann.http.get("/api/machines/counts")).json()
    told = {(c["kind"], c["state"]): (c["machines"], c["finished"]) for c in counts["states"]}
    assert told == {
        ("case", "open"): (1, 0),
        ("upload", "cancelled"): (1, 1),
        ("upload", "receiving"): (1, 0),
    }
    assert (counts["counted"], counts["capped"], counts["stuck"]) == (3, False, 0)


async def test_a_machine_whose_worker_is_gone_stands_out(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async with live.person() as ann:
        case = await ann.case()
        await announce(ann, case)
        machine = await announce(ann, case, "lost.txt")
        engine = live.parts.engine
        await engine.send(machine, "received", {"sha256": "ab", "bytes": 3}, source="handler")
        snapshot = await engine.load(machine)
        assert snapshot is not None
        effect = next(iter(snapshot.awaiting))
        # As if it had been taken a while ago, yet within its deadline.
        monkeypatch.setattr(engine, "_clock", lambda: time.time() - 100)
        await engine.send(machine, "started", {"effect": effect, "stage": "verifying"}, source="handler")
        await archived(live)
        for query in ("trouble=any", "trouble=stuck"):
            [row] = await machines(ann, query)
            assert row["machine"] == machine
            assert row["troubles"][0]["level"] == "stuck"
        counts = (await ann.http.get("/api/machines/counts")).json()
        assert (counts["slow"], counts["stuck"]) == (0, 1)
        told = (await ann.http.get(f"/api/machines/{machine}")).json()["troubles"]
        assert told[0]["stage"] == "verifying"


@pytest.mark.parametrize(
    "query",
    ["after=nonsense", "after=nan~x", "limit=0", "limit=501", "life=dead", "colour=red", "changed_after=inf",
     "trouble=none", "kind=%00"],
)  # fmt: skip
async def test_a_filter_that_means_nothing_is_refused(live: Live, query: str) -> None:
    async with live.person() as ann:
        answer = await ann.http.get(f"/api/machines?{query}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "request.invalid"


def test_a_cursor_tells_where_a_page_ended() -> None:
    assert parse_cursor("1.25~upload-0-a") == (1.25, "upload-0-a")


async def test_the_journal_tells_every_transition_and_folds_to_the_machine(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        machine = await announce(ann, case, "a.txt", 3)
        engine = live.parts.engine
        await engine.send(machine, "received", {"sha256": "ab", "bytes": 3}, source="handler")
        await engine.send(machine, "cancel", {}, source="client", actor=ann.id, role="owner")
        path = f"/api/machines/{machine}"
        fresh = (await ann.http.get(f"{path}/journal")).json()
        await archived(live)
        kept = (await ann.http.get(f"{path}/journal")).json()
        assert kept == fresh
        now = (await ann.http.get(path)).json()
        assert (now["spawned_by"], now["spawned_by_name"]) == (ann.id, "Ann")
    entries = kept["entries"]
    assert [(e["number"], e["revision"], e["event"]) for e in entries] == [
        (1, 1, "spawn"),
        (2, 2, "received"),
        (3, 3, "cancel"),
    ]
    assert [e["actor_name"] for e in entries] == ["Ann", "", "Ann"]
    assert entries[1]["taken"] == [{"source": "receiving", "target": "verifying"}]
    assert entries[1]["asked"] == [{"stage": "verifying", "effect": f"{machine}:2:0", "queue": "cpu"}]
    assert entries[1]["left"].keys() == {"receiving"}
    assert {"path": ["sha256"], "what": "changed", "old": "", "new": "ab"} in entries[1]["changes"]
    assert kept["base"] == {"revision": 0, "configuration": [], "context": {}}
    assert kept["revision"] == entries[-1]["revision"]
    assert replayed({}, entries) == now["context"]
    assert entries[-1]["to"] == now["configuration"]


def replayed(context: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    """As the page does it."""
    for entry in entries:
        for change in entry["changes"]:
            *above, last = change["path"]
            inner = context
            for key in above:
                inner = inner[key]
            if change["what"] == "removed":
                del inner[last]
            else:
                inner[last] = change["new"]
    return context


async def test_a_journal_is_read_by_page_each_with_the_machine_before_it(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        for number in range(6):
            await live.parts.engine.send(
                case["machine"], "rename", {"title": f"Title {number}"}, source="client", role="owner"
            )
        path = f"/api/machines/{case['machine']}/journal"
        whole = (await ann.http.get(path)).json()
        after: int | None = 0
        seen: list[dict[str, Any]] = []
        while after is not None:
            page = (await ann.http.get(f"{path}?limit=3&after={after}")).json()
            assert page["base"]["revision"] == after
            assert page["base"]["context"] == replayed({}, [dict(e) for e in seen])
            seen += page["entries"]
            after = page["next"]
        assert seen == whole["entries"]
        assert len(seen) == 7
        assert (await ann.http.get(f"{path}?after=100")).json()["entries"] == []


async def test_the_journal_of_a_machine_that_left_redis_is_still_whole(live: Live) -> None:
    async with live.person() as ann:
        machine = await announce(ann, await ann.case())
        await live.parts.engine.send(machine, "cancel", {}, source="client", actor=ann.id, role="owner")
        path = f"/api/machines/{machine}/journal"
        await archived(live)
        before = (await ann.http.get(path)).json()
        await live.parts.store.evict(machine)
        assert await live.parts.engine.load(machine) is None
        assert (await ann.http.get(path)).json() == before
        assert await ids(ann, "life=finished") == [machine]


@pytest.mark.parametrize(
    ("kept", "fresh", "expected"),
    [([1, 2], [1, 2, 3, 4], [3, 4]), ([1, 2], [3], [3]), ([1, 2], [4], []), ([], [1], [1]), ([], [2], [])],
)
def test_fresh_entries_are_told_only_where_they_go_on_from_the_kept_ones(
    kept: list[int], fresh: list[int], expected: list[int]
) -> None:
    def entries(revisions: list[int]) -> list[dict[str, Any]]:
        return [{"revision": r, "at": float(r), "event": "e"} for r in revisions]

    assert _following(entries(kept), entries(fresh)) == entries(expected)


async def test_where_entries_are_lost_in_both_places_the_journal_ends_before_them(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        await archived(live)
        machine, topic = case["machine"], f"case:{case['id']}"
        keys = f"{{{shard_of_machine(machine)}}}"
        for title in ("A", "B"):
            await live.parts.engine.send(machine, "rename", {"title": title}, source="client", role="owner")
        await archived(live)
        async with live.parts.database.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            await connection.exec_driver_sql("DELETE FROM journal WHERE seq > 1")
        await live.parts.redis.xtrim(f"{keys}:log:{topic}", maxlen=1, approximate=False)
        journal = (await ann.http.get(f"/api/machines/{machine}/journal")).json()
    assert [entry["revision"] for entry in journal["entries"]] == [1]
    assert journal["revision"] == 3
