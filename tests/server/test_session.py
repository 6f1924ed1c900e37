"""A session without a socket: order, back pressure, and what a slow or broken reader meets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from server.auth import Visitor
from server.errors import Close, Closing
from server.hub import Hub
from server.outgoing import Outgoing
from server.rights import KNOWN_S
from server.session import BAD_FRAMES, Session
from storage.people import Person
from tests.server.live import WITHIN_S, Live


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(live: Live) -> Visitor:
    """Somebody registered and logged in, with a case of their own: `case:mine`."""
    person = await live.parts.people.register("ann@example.org", "Ann", "hash", open_to_all=True)
    _, login = await live.parts.sessions.begin(person.id)
    await live.parts.cases.create("mine", "Mine", "", "case-0-none", person.id)
    return Visitor(person, login)


@pytest_asyncio.fixture(loop_scope="session")
async def session(live: Live, visitor: Visitor) -> AsyncIterator[Session]:
    made = _session(live, visitor, live.parts.hub)
    yield made
    await made.close()


def _session(live: Live, visitor: Visitor, hub: Hub) -> Session:
    parts = live.parts
    return Session(visitor, engine=parts.engine, hub=hub, rights=parts.rights, admission=parts.admission)


async def say(session: Session, request: str, number: int = 1, **fields: Any) -> None:
    await session.receive(orjson.dumps({"type": request, "id": number, **fields}).decode())


async def hear(session: Session) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        message: dict[str, Any] = orjson.loads(await session.outgoing.get())
        return message


async def spawn(live: Live, number: int, text: str = "") -> None:
    await live.parts.engine.spawn(
        "query", "case:mine", {"question": f"Question {number} {text}"}, source="client", role="owner"
    )


async def test_the_answer_to_a_subscription_comes_before_its_entries(live: Live, session: Session) -> None:
    await say(session, "subscribe", topic="case:mine")
    await spawn(live, 1)
    assert (await hear(session))["type"] == "ok"
    assert (await hear(session))["type"] == "entry"


async def test_nothing_comes_after_the_answer_to_an_unsubscription(live: Live, session: Session) -> None:
    await say(session, "subscribe", topic="case:mine")
    await hear(session)
    await say(session, "unsubscribe", 2, topic="case:mine")
    await spawn(live, 1)
    await say(session, "ping", 3)
    assert [(await hear(session))["id"] for _ in range(2)] == [2, 3]
    assert live.parts.hub.topics.get("case:mine", 0) == 0


async def test_subscribing_twice_means_once(live: Live, session: Session) -> None:
    await say(session, "subscribe", 1, topic="case:mine")
    await say(session, "subscribe", 2, topic="case:mine")
    await spawn(live, 1)
    await asyncio.sleep(0)
    kinds = [(await hear(session))["type"] for _ in range(3)]
    assert kinds == ["ok", "ok", "entry"]
    assert live.parts.hub.topics["case:mine"] == 1


async def test_bad_frames_in_a_row_end_the_session_and_a_good_one_forgives(session: Session) -> None:
    for _ in range(BAD_FRAMES - 1):
        await session.receive("[]")
    await say(session, "ping")
    for _ in range(BAD_FRAMES - 1):
        await session.receive("[]")
    with pytest.raises(Closing) as end:
        await session.receive("[]")
    assert end.value.code == Close.BAD_FRAMES


async def test_a_reader_that_stays_too_slow_is_sent_away(live: Live, visitor: Visitor) -> None:
    async with Hub(live.parts.store, queue_bytes=20_000, queue_messages=20) as hub:
        session = _session(live, visitor, hub)
        await say(session, "subscribe", topic="case:mine")
        for number in range(200):
            await spawn(live, number, "x" * 1900)
            if session.broken.done():
                break
        with pytest.raises(Closing) as end:
            async with asyncio.timeout(WITHIN_S):
                await session.broken
        assert end.value.code == Close.SLOW
        await session.close()


async def test_a_hub_that_gives_up_sends_its_readers_elsewhere(live: Live, visitor: Visitor) -> None:
    async with Hub(live.parts.store) as hub:
        session = _session(live, visitor, hub)
        await say(session, "subscribe", topic="case:mine")
    with pytest.raises(Closing) as end:
        async with asyncio.timeout(WITHIN_S):
            await session.broken
    assert end.value.code == Close.INSUFFICIENT
    await session.close()


async def test_an_ended_login_is_noticed_at_the_next_look(
    live: Live, session: Session, visitor: Visitor
) -> None:
    await session.recheck()
    assert visitor.login is not None
    await live.parts.sessions.end(visitor.login)
    with pytest.raises(Closing) as end:
        await session.recheck()
    assert end.value.code == Close.UNAUTHENTICATED


async def test_a_lost_announcement_still_ends_the_topic_at_the_next_entry(
    live: Live, session: Session, visitor: Visitor
) -> None:
    await say(session, "subscribe", topic="case:mine")
    await hear(session)
    other = await live.parts.people.register("bob@example.org", "Bob", "hash", open_to_all=True)
    await live.parts.cases.set_member("mine", other.email, "owner")
    await live.parts.cases.remove_member("mine", visitor.person.id)
    await asyncio.sleep(KNOWN_S)
    await spawn(live, 1)
    assert (await hear(session))["type"] == "closed"


async def test_rights_are_asked_once_a_second_and_forgotten_when_announced(
    live: Live, visitor: Visitor
) -> None:
    rights, cases = live.parts.rights, live.parts.cases
    assert await rights.role(visitor.person, "case:mine") == "owner"
    other = await live.parts.people.register("bob@example.org", "Bob", "hash", open_to_all=True)
    await cases.set_member("mine", other.email, "owner")
    await cases.set_member("mine", visitor.person.email, "viewer")
    assert await rights.role(visitor.person, "case:mine") == "owner"
    await rights.announce(visitor.person.id)
    assert await rights.role(visitor.person, "case:mine") == "viewer"


async def test_an_announcement_of_another_process_is_heard(live: Live, visitor: Visitor) -> None:
    heard = asyncio.Event()
    with live.parts.rights.watching(visitor.person.id, heard.set):
        await live.parts.redis.publish(f"user-rights:{visitor.person.id}", b"")
        async with asyncio.timeout(WITHIN_S):
            await heard.wait()


async def test_nobody_has_a_role_where_none_is_given(live: Live) -> None:
    stranger = Person("x", "x@example.org", "X", is_admin=False)
    for topic in ("case:mine", "case:", "system", "user:", "user:other", "import:1", "", "mine"):
        assert await live.parts.rights.role(stranger, topic) is None
    assert await live.parts.rights.role(stranger, "user:x") == "owner"


async def test_outgoing_frames_wait_when_the_bytes_do_not_fit_and_one_frame_always_does() -> None:
    outgoing = Outgoing(limit_bytes=10)
    await outgoing.put(b"x" * 50)
    waiting = asyncio.create_task(outgoing.put(b"y"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert await outgoing.get() == b"x" * 50
    await waiting
    assert await outgoing.get() == b"y"
