"""People take turns at the workers, whoever has how much waiting; counted in jobs, on a real queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from server.fair_line import Waiting
from server.queues import URGENT, JobQueues, job_id_of
from server.services import Services
from storage.machine_store import OutboxItem

_random = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def queues(services: Services, redis_client: Redis) -> Iterator[JobQueues]:
    made = JobQueues(services.queue_url)
    yield made
    made.close()


def item(kind: str, person: str, number: int) -> OutboxItem:
    machine = f"{kind}-0-{person}{number}"
    return OutboxItem(
        shard=0,
        entry=f"0-{number}",
        effect_id=f"{machine}:1:0",
        name="RankHits",
        args={},
        queue="cpu",
        machine=machine,
        topic="case:c",
        behalf=person,
    )


def names(queues: JobQueues) -> list[str]:
    return [effect.partition(":")[0].rpartition("-")[2] for effect in queues.waiting("cpu")]


def take(queues: JobQueues) -> str:
    """The next job as a worker takes it: `person` and number."""
    taken = queues._redis.lpop("rq:queue:cpu")
    assert taken is not None
    queues._redis.delete(b"rq:job:" + taken)
    return str(taken.decode().rpartition("-")[2].partition("_")[0])


def of(name: str) -> str:
    return name[0]


async def test_who_asks_one_question_waits_for_one_of_a_thousand_others(queues: JobQueues) -> None:
    for number in range(1000):
        queues.enqueue(item("query", "a", number))
    assert [take(queues) for _ in range(3)] == ["a0", "a1", "a2"]
    queues.enqueue(item("query", "b", 0))
    assert names(queues)[:3] == ["a3", "b0", "a4"]


async def test_one_persons_jobs_keep_their_order(queues: JobQueues) -> None:
    for number in range(5):
        queues.enqueue(item("query", "a", number))
        queues.enqueue(item("upload", "a", number))
    assert names(queues) == ["a0", "a1", "a2", "a3", "a4"] * 2


async def test_a_folder_of_one_lets_the_file_of_another_through(queues: JobQueues) -> None:
    for number in range(50):
        queues.enqueue(item("upload", "a", number))
    queues.enqueue(item("upload", "b", 0))
    queues.enqueue(item("query", "c", 0))
    assert names(queues)[:4] == ["c0", "a0", "b0", "a1"]


async def test_what_has_no_person_takes_turns_by_its_topic(queues: JobQueues) -> None:
    for number in range(3):
        queues.enqueue(item("upload", "a", number))
    old = OutboxItem(0, "0-9", "upload-0-x9:1:0", "RankHits", {}, "cpu", "upload-0-x9", "case:other")
    queues.enqueue(old)
    assert names(queues) == ["a0", "x9", "a1", "a2"]


async def test_whose_job_it_is_goes_with_it_so_that_it_can_be_given_back(queues: JobQueues) -> None:
    queues.enqueue(item("upload", "a", 0))
    [waiting] = queues.items("cpu", 5)
    assert waiting == item("upload", "a", 0)


async def test_patience_is_not_saved_up(queues: JobQueues) -> None:
    """Who was away has no claim to all that was served meanwhile."""
    queues.enqueue(item("query", "b", 0))
    for number in range(100):
        queues.enqueue(item("query", "a", number))
    for _ in range(60):
        take(queues)
    for number in range(1, 5):
        queues.enqueue(item("query", "b", number))
    assert Counter(of(name) for name in names(queues)[:8]) == {"a": 4, "b": 4}


async def test_what_does_not_fit_goes_behind_all_of_its_kind(queues: JobQueues) -> None:
    for number in range(3):
        queues.enqueue(item("upload", "a", number))
    queues.enqueue(item("upload", "b", 0), place="back")
    queues.enqueue(item("query", "b", 1), place="back")
    assert names(queues) == ["b1", "a0", "a1", "a2", "b0"]


async def test_one_that_is_not_urgent_is_let_through_and_stays_in_front(queues: JobQueues) -> None:
    for number in range(3):
        queues.enqueue(item("query", "a", number))
    assert not queues.line("cpu").let_through()
    for number in range(3):
        queues.enqueue(item("upload", "u", number))
    assert queues.line("cpu").let_through()
    assert not queues.line("cpu").let_through(), "one at a time"
    queues.enqueue(item("query", "b", 0))
    assert names(queues) == ["u0", "a0", "b0", "a1", "a2", "u1", "u2"]
    assert take(queues) == "u0"
    queues.enqueue(item("upload", "u", 3))
    assert names(queues)[-3:] == ["u1", "u2", "u3"]


async def test_what_waits_is_counted(queues: JobQueues) -> None:
    assert queues.waiting_counts()["cpu"] == Waiting(0, 0)
    for number in range(4):
        queues.enqueue(item("query", "a", number))
        queues.enqueue(item("upload", "a", number))
    take(queues)
    assert queues.waiting_counts() == {"cpu": Waiting(7, 3), "gpu": Waiting(0, 0)}
    queues.forget("cpu", item("query", "a", 2).effect_id)
    assert queues.waiting_counts()["cpu"] == Waiting(6, 2)


async def test_jobs_that_an_earlier_release_queued_are_kept_and_questions_stay_in_front(
    queues: JobQueues, services: Services
) -> None:
    for kind in ("query", "upload"):
        queues.enqueue(item(kind, "a", 0))
    queues._redis.delete("rq:queue:cpu:marks", "rq:queue:cpu:turns")
    queues.enqueue(item("upload", "b", 0))
    queues.enqueue(item("query", "b", 1))
    found = names(queues)
    assert sorted(found) == ["a0", "a0", "b0", "b1"]
    assert found.index("b1") < found.index("b0")
    assert [effect.startswith(URGENT) for effect in queues.waiting("cpu")][:2] == [True, True]


async def test_several_servers_keep_one_order_and_a_new_one_goes_on_with_it(
    queues: JobQueues, services: Services
) -> None:
    other = JobQueues(services.queue_url)
    try:
        for number in range(6):
            (queues if number % 2 else other).enqueue(item("query", "a", number))
        take(queues)
        other.enqueue(item("query", "b", 0))
    finally:
        other.close()
    again = JobQueues(services.queue_url)
    try:
        again.enqueue(item("query", "b", 1))
        assert names(again) == ["a1", "b0", "a2", "b1", "a3", "a4", "a5"]
    finally:
        again.close()


async def test_nothing_is_left_of_a_queue_that_was_emptied(queues: JobQueues) -> None:
    for number in range(3):
        queues.enqueue(item("query", "a", number))
    for _ in range(3):
        take(queues)
    queues.waiting_counts()
    assert queues._redis.keys("rq:queue:cpu*") == []


async def test_no_two_jobs_have_the_same_mark(queues: JobQueues) -> None:
    for number, person in enumerate("aaabbbbbbaaab"):
        queues.enqueue(item("query", person, number))
    marks = queues._redis.zrange("rq:queue:cpu:marks", 0, -1, withscores=True)
    assert len({mark for _, mark in marks}) == 13
    assert "".join(map(of, names(queues))) == "abababbababab"


@_random
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.sampled_from("abc"), st.integers(1, 12)),
            st.tuples(st.just("take"), st.just(""), st.integers(1, 8)),
        ),
        min_size=3,
        max_size=14,
    ),
    kind=st.sampled_from(["query", "upload"]),
)
def test_two_who_both_wait_are_served_alike_over_any_time(
    queues: JobQueues, steps: list[tuple[str, str, int]], kind: str
) -> None:
    """Over any stretch in which both wait all the time, their counts differ by two at the most."""
    queues._redis.flushdb()
    number = 0
    served: list[tuple[str, frozenset[str]]] = []
    waiting: Counter[str] = Counter()
    for what, person, count in [*steps, ("take", "", 1000)]:
        for _ in range(min(count, waiting.total()) if what == "take" else count):
            if what == "ask":
                queues.enqueue(item(kind, person, number))
                waiting[person] += 1
                number += 1
            else:
                both = frozenset(each for each, left in waiting.items() if left)
                served.append((of(take(queues)), both))
                waiting[served[-1][0]] -= 1
    assert len(served) == number
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        ahead = least = most = 0
        for person, both in served:
            if not {one, other} <= both:
                ahead = least = most = 0
                continue
            ahead += (person == one) - (person == other)
            least, most = min(least, ahead), max(most, ahead)
            assert most - least <= 2


@_random
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["query", "upload"]),
            st.sampled_from("ab"),
            st.sampled_from(["turn", "front", "back", "take", "through", "forget"]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_no_job_is_lost_or_doubled_whatever_happens(
    queues: JobQueues, steps: list[tuple[str, str, str]]
) -> None:
    queues._redis.flushdb()
    there: set[str] = set()
    for number, (kind, person, what) in enumerate(steps):
        one = item(kind, person, number)
        match what:
            case "take":
                if there:
                    there.remove(take(queues))
            case "through":
                queues.line("cpu").let_through()
            case "forget":
                if there:
                    effect = queues.waiting("cpu")[number % len(there)]
                    queues.forget("cpu", effect)
                    there.remove(job_id_of(effect).rpartition("-")[2].partition("_")[0])
            case _:
                queues.enqueue(one, place=what)  # type: ignore[arg-type]
                there.add(f"{person}{number}")
        assert Counter(names(queues)) == Counter(there)
        assert queues.waiting_counts()["cpu"].jobs == len(there)
