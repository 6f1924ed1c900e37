"""A session without a socket: order, back pressure, and what a slow or broken reader meets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from server import rights as rights_module
from server.auth import Visitor
from server.errors import Close, Closing
from server.hub import Hub
from server.rights import KNOWN_S
from server.session import BAD_FRAMES, Session
from storage.people import Person
from tests.patience import PATIENCE_S
from tests.server.live import Live


class Recorder:
    """A line that ends here: what is said lies in `said`, and everything or nothing of it is taken.

    Attributes:
        code: What it was closed with.
    """

    def __init__(self) -> None:
        self.fd = -1
        self.blocked = False
        self.backed_up = False
        self.holding = False
        self.code: Close | None = None
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self.session: Session | None = None
        self.ended = asyncio.Event()

    def say(self, text: bytes) -> None:
        self.said.put_nowait(text)

    def write(self, frame: bytes) -> None:
        raise AssertionError("a line without a descriptor is in no lane")

    def end(self, code: Close) -> None:
        if self.code is None:
            self.code = code
            self.ended.set()
            if self.session is not None:
                self.session.ended()

    def hold(self) -> None:
        self.holding = True

    def read_on(self) -> None:
        self.holding = False

    def block(self, session: Session) -> None:
        self.blocked = True
        session.stalled()

    def flow(self, session: Session) -> None:
        self.blocked = False
        session.flowing()

    async def close_code(self) -> Close | None:
        async with asyncio.timeout(PATIENCE_S):
            await self.ended.wait()
        return self.code


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(live: Live) -> Visitor:
    """Somebody registered and logged in, with a case of their own: `case:mine`."""
    person = await live.parts.people.register("ann@example.org", "Ann", "hash", open_to_all=True)
    _, login = await live.parts.sessions.begin(person.id)
    await live.parts.cases.create("mine", "Mine", "", "case-0-none", person.id)
    return Visitor(person, login)


@pytest_asyncio.fixture(loop_scope="session")
async def session(live: Live, visitor: Visitor, line: Recorder) -> AsyncIterator[Session]:
    made = _session(live, visitor, live.parts.hub, line)
    yield made
    made.ended()


@pytest.fixture
def line() -> Recorder:
    return Recorder()


def _session(live: Live, visitor: Visitor, hub: Hub, line: Recorder) -> Session:
    parts = live.parts
    line.session = Session(
        visitor, line, engine=parts.engine, hub=hub, rights=parts.rights, admission=parts.admission
    )
    return line.session


async def say(session: Session, request: str, number: int = 1, **fields: Any) -> None:
    await session.receive(orjson.dumps({"type": request, "id": number, **fields}).decode())


async def hear(line: Recorder) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        message: dict[str, Any] = orjson.loads(await line.said.get())
        return message


async def spawn(live: Live, number: int, text: str = "") -> None:
    await live.parts.engine.spawn(
        "query", "case:mine", {"question": f"Question {number} {text}"}, source="client", role="owner"
    )


async def test_the_answer_to_a_subscription_comes_before_its_entries(
    live: Live, session: Session, line: Recorder
) -> None:
    await say(session, "subscribe", topic="case:mine")
    await spawn(live, 1)
    assert (await hear(line))["type"] == "ok"
    assert (await hear(line))["type"] == "entry"


async def test_nothing_comes_after_the_answer_to_an_unsubscription(
    live: Live, session: Session, line: Recorder
) -> None:
    await say(session, "subscribe", topic="case:mine")
    await hear(line)
    await say(session, "unsubscribe", 2, topic="case:mine")
    await spawn(live, 1)
    await say(session, "ping", 3)
    assert [(await hear(line))["id"] for _ in range(2)] == [2, 3]
    assert live.parts.hub.topics.get("case:mine", 0) == 0


async def test_subscribing_twice_means_once(live: Live, session: Session, line: Recorder) -> None:
    await say(session, "subscribe", 1, topic="case:mine")
    await say(session, "subscribe", 2, topic="case:mine")
    await spawn(live, 1)
    await asyncio.sleep(0)
    kinds = [(await hear(line))["type"] for _ in range(3)]
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


async def test_a_reader_that_stays_too_slow_is_sent_away(
    live: Live, visitor: Visitor, line: Recorder
) -> None:
    async with Hub(live.parts.store, queue_bytes=20_000, queue_messages=20) as hub:
        session = _session(live, visitor, hub, line)
        await say(session, "subscribe", topic="case:mine")
        line.block(session)
        for number in range(40):
            await spawn(live, number, "x" * 1900)
            if line.code is not None:
                break
        assert await line.close_code() == Close.SLOW
        assert hub.topics == {}


async def test_what_a_blocked_socket_missed_comes_in_order_when_it_flows_again(
    live: Live, session: Session, line: Recorder
) -> None:
    await say(session, "subscribe", topic="case:mine")
    first = await hear(line)
    line.block(session)
    for number in range(5):
        await spawn(live, number)
    await asyncio.sleep(0.1)
    assert line.said.empty()
    line.flow(session)
    await spawn(live, 5)
    offsets = [(await hear(line))["offset"] for _ in range(6)]
    assert offsets == [first["offset"] + n for n in range(1, 7)]


async def test_a_hub_that_gives_up_sends_its_readers_elsewhere(
    live: Live, visitor: Visitor, line: Recorder
) -> None:
    async with Hub(live.parts.store) as hub:
        session = _session(live, visitor, hub, line)
        await say(session, "subscribe", topic="case:mine")
    assert await line.close_code() == Close.INSUFFICIENT


async def test_an_ended_login_is_noticed_at_the_next_look(
    live: Live, session: Session, visitor: Visitor, line: Recorder
) -> None:
    await session.recheck()
    assert visitor.login is not None
    await live.parts.sessions.end(visitor.login)
    with pytest.raises(Closing) as end:
        await session.recheck()
    assert end.value.code == Close.UNAUTHENTICATED


async def test_a_lost_announcement_still_ends_the_topic_at_the_next_entry(
    live: Live, session: Session, visitor: Visitor, line: Recorder
) -> None:
    await say(session, "subscribe", topic="case:mine")
    await hear(line)
    other = await live.parts.people.register("bob@example.org", "Bob", "hash", open_to_all=True)
    await live.parts.cases.set_member("mine", other.email, "owner")
    await live.parts.cases.remove_member("mine", visitor.person.id)
    await asyncio.sleep(KNOWN_S)
    await spawn(live, 1)
    assert (await hear(line))["type"] == "closed"


async def test_rights_are_asked_once_in_a_while_and_forgotten_when_announced(
    live: Live, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights_module, "KNOWN_S", 600.0)
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
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()


async def test_nobody_has_a_role_where_none_is_given(live: Live) -> None:
    stranger = Person("x", "x@example.org", "X", is_admin=False)
    for topic in ("case:mine", "case:", "system", "user:", "user:other", "import:1", "", "mine"):
        assert await live.parts.rights.role(stranger, topic) is None
    assert await live.parts.rights.role(stranger, "user:x") == "owner"
