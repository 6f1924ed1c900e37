"""Near copies: what is linked, what is not, and that the links follow what is read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers import near
from handlers.chunking import cut
from handlers.near import NearLinks, picture_hash
from handlers.near_text import bands_of, runs_of, signature_of
from storage.database import create_engine
from storage.evidence import EVIDENCE, EvidenceStore
from storage.near_copies import AlikeText, NearCopies, NearCopy
from tests.case_rows import new_case, new_evidence

HEADS = ("ba", "ce", "di", "fo", "gu", "ha", "le", "mi", "no", "pu", "ra", "se", "to")
WORDS = [head + tail for head in HEADS for tail in ("lan", "mer", "nis", "tor", "vik")]


def prose(seed: int, count: int = 300) -> str:
    """Text that shares no run of words with that of another seed, but by chance."""
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def changed(text: str, share: float, seed: int = 1) -> str:
    """The text with one word in so many another one."""
    chance = random.Random(seed)
    return " ".join(f"x{word}" if chance.random() < share else word for word in text.split())


def score(one: str, other: str) -> float:
    """The share of common runs, worked out by sets of Python."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return set(zip(words, words[1:], words[2:], strict=False))

    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


class Place:
    def __init__(self, engine: AsyncEngine, case: str) -> None:
        self.engine, self.case = engine, case
        self.evidence, self.copies = EvidenceStore(engine), NearCopies(engine)
        self.links = NearLinks(self.evidence, self.copies)
        self.made = 0

    async def add(self, text: str, *, phash: str = "", case: str = "", media_type: str = "text/plain") -> int:
        self.made += 1
        new = new_evidence(case or self.case, f"{self.made:064x}", media_type=media_type)
        evidence = (await self.evidence.register(new)).id
        await self.read(evidence, text, phash=phash)
        await self.links.link(evidence)
        return evidence

    async def read(self, evidence: int, text: str, *, phash: str = "") -> None:
        meta = {"phash": phash} if phash else {}
        await self.evidence.store_text(
            evidence, title=f"e{evidence}", text=text, pages=[], meta=meta, chunks=cut(text)
        )

    async def near(self, evidence: int) -> dict[int, float]:
        return {one.evidence: one.score for one in await self.copies.of_evidence(evidence, limit=100)}


@pytest_asyncio.fixture(loop_scope="session")
async def place(database: str) -> AsyncIterator[Place]:
    engine = create_engine(database)
    yield Place(engine, await new_case(engine))
    await engine.dispose()


async def test_a_changed_copy_is_linked_from_both_sides_with_its_exact_likeness(place: Place) -> None:
    text = prose(1)
    first, other = await place.add(text), await place.add(prose(2))
    copy = await place.add(changed(text, 0.05))
    expected = score(text, changed(text, 0.05))
    assert await place.near(first) == {copy: pytest.approx(expected)}
    assert await place.near(copy) == {first: pytest.approx(expected)}
    assert await place.near(other) == {}
    assert await place.copies.counts([first, other, copy]) == {first: 1, copy: 1}
    pairs = await place.copies.among(place.case, [copy, other, first])
    assert [(pair.a, pair.b, pair.kind) for pair in pairs] == [(first, copy, "text")]


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("one word in ten changed", lambda text: changed(text, 0.08)),
        ("the last quarter missing", lambda text: " ".join(text.split()[:230])),
        ("a long header before it", lambda text: f"{prose(9, 120)} {text}"),
        ("quoted whole below an answer thrice as long as it", lambda text: f"{prose(8, 600)}\n> {text}"),
        ("other line ends, case and punctuation", lambda text: text.upper().replace(" ", ",\r\n")),
    ],
)
async def test_what_people_call_a_copy_is_one(place: Place, what: str, make) -> None:
    text = prose(3)
    first, copy = await place.add(text), await place.add(make(text))
    assert list(await place.near(first)) == [copy], what


async def test_half_another_text_is_no_copy(place: Place) -> None:
    text = prose(4)
    first = await place.add(text)
    await place.add(" ".join(text.split()[:120]) + " " + prose(5, 180))
    assert await place.near(first) == {}


async def test_mails_are_compared_without_their_headers_and_lists_of_people(place: Place) -> None:
    people = ", ".join(f"{word.title()} <{word}@lake.example>" for word in WORDS[:60])
    header = f"Subject: Lunch\nFrom: ann@lake.example\nTo: {people}\n\n"
    forwarded = f"Forwarded to: {' '.join(f'{word}@lake.example' for word in WORDS)}\n"
    first = await place.add(header + forwarded + prose(6, 60), media_type="message/rfc822")
    await place.add(header + forwarded + prose(7, 60), media_type="message/rfc822")
    assert await place.near(first) == {}


async def test_a_few_words_are_like_nothing(place: Place) -> None:
    first = await place.add("Thank you, I shall do that.")
    await place.add("Thank you, I shall do that!")
    assert await place.near(first) == {}


async def test_only_evidence_of_the_same_case_is_linked(place: Place) -> None:
    other = await new_case(place.engine, "case2")
    first = await place.add(prose(1))
    await place.add(prose(1), case=other)
    assert await place.near(first) == {}


async def test_reading_again_replaces_the_links_of_the_earlier_text(place: Place) -> None:
    first, second, third = [await place.add(prose(seed)) for seed in (1, 1, 2)]
    assert list(await place.near(first)) == [second]
    await place.read(first, prose(2))
    await place.links.link(first)
    assert await place.near(second) == {}
    assert await place.near(third) == {first: 1.0}
    await place.read(first, "")
    await place.links.link(first)
    assert await place.near(third) == {}


async def test_linking_twice_leaves_what_once_leaves(place: Place) -> None:
    first, second = await place.add(prose(1)), await place.add(prose(1))
    for _ in range(2):
        assert await place.links.link(first) == 1
        assert await place.near(second) == {first: 1.0}


async def test_links_leave_with_their_evidence(place: Place) -> None:
    first, second, third = [await place.add(prose(1)) for _ in range(3)]
    async with place.engine.begin() as connection:
        await connection.execute(delete(EVIDENCE).where(EVIDENCE.c.id == second))
    assert await place.near(first) == {third: 1.0}
    assert await place.links.link(first) == 1


async def test_copies_that_are_linked_at_the_same_time_find_each_other(place: Place) -> None:
    made = []
    for seed in range(8):
        new = new_evidence(place.case, f"{seed:064x}")
        made.append((await place.evidence.register(new)).id)
        await place.read(made[-1], prose(seed // 4))
    await asyncio.gather(*map(place.links.link, made))
    for one in made:
        same = made[:4] if one in made[:4] else made[4:]
        assert set(await place.near(one)) == set(same) - {one}


async def test_a_text_that_was_read_again_meanwhile_is_not_linked_by_its_earlier_one(place: Place) -> None:
    first, second = await place.add(prose(1)), await place.add(prose(2))
    stale = signature_of(runs_of(prose(1)))
    await place.read(first, prose(3))
    await place.links.link(first)
    found = [near.Likeness(first, 1.0, 1.0, True, stale.tobytes())]
    mark = signature_of(runs_of(prose(2))).tobytes()
    assert await place.copies.link_texts(place.case, second, mark, found) == 0
    assert await place.near(first) == {}


async def test_what_is_too_much_to_compare_is_linked_by_its_signature(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await place.add(prose(1, 2000))
    monkeypatch.setattr(near, "COMPARED_RUNS", 100)
    await place.add(changed(prose(1, 2000), 0.03))
    (copy,) = await place.copies.of_evidence(first, limit=9)
    assert not copy.exact
    assert copy.score == pytest.approx(score(prose(1, 2000), changed(prose(1, 2000), 0.03)), abs=0.15)


async def test_a_crowd_of_copies_is_linked_up_to_a_limit_and_stays_connected(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "LINKED", 2)
    crowd = [await place.add(prose(1)) for _ in range(6)]
    reached, todo = {crowd[0]}, [crowd[0]]
    while todo:
        new = set(await place.near(todo.pop())) - reached
        reached |= new
        todo += new
    assert reached == set(crowd)


async def test_pictures_are_linked_by_the_bits_of_their_hashes(place: Place) -> None:
    base = 0x9A3C5F017B2D4E68
    first = await place.add("", phash=f"{base:016x}")
    close = await place.add("", phash=f"{base ^ 0x8000000000000007:016x}")
    await place.add("", phash=f"{base ^ 0xFFFF00000000:016x}")
    blank = await place.add("", phash="8000000000000000")
    await place.add("", phash="8000000000000001")
    (copy,) = await place.copies.of_evidence(first, limit=9)
    assert copy == NearCopy(close, f"e{close}", copy.filename, "text/plain", "picture", 0.9375, 0.9375, True)
    assert await place.near(blank) == {}
    await place.read(close, "", phash=f"{base ^ 0xFFFFFFFF:016x}")
    await place.links.link(close)
    assert await place.near(first) == {}


async def test_a_picture_with_words_is_linked_by_both(place: Place) -> None:
    first = await place.add(prose(1), phash="9a3c5f017b2d4e68")
    second = await place.add(prose(1), phash="9a3c5f017b2d4e68")
    kinds = {one.kind for one in await place.copies.of_evidence(first, limit=9)}
    assert kinds == {"text", "picture"}
    assert await place.copies.counts([first, second]) == {first: 1, second: 1}


@pytest.mark.parametrize("told", [None, "", "xyz", "9A3C5F017B2D4E68", 12, "0" * 16, "f" * 16, "9a3c"])
def test_only_sixteen_digits_of_a_picture_with_something_in_it_are_a_hash(told: object) -> None:
    assert picture_hash(told) is None


@given(value=st.integers(0, 2**64 - 1))
def test_a_hash_is_the_signed_number_of_the_same_bits(value: int) -> None:
    signed = picture_hash(f"{value:016x}")
    assert signed is None or signed & (2**64 - 1) == value


def test_candidates_come_by_their_likeness_and_the_unlike_do_not() -> None:
    text = prose(1)
    runs = runs_of(text)
    others = [
        AlikeText(i, 298, signature_of(runs_of(changed(text, share))).tobytes())
        for i, share in enumerate((0.15, 0.0, 0.05, 0.9))
    ]
    ordered = near.promising(runs, signature_of(runs).tobytes(), others)
    assert [one.evidence for one, _ in ordered] == [1, 2, 0]
    assert all(before >= after for (_, before), (_, after) in pairwise(ordered))


def test_copies_meet_in_a_band_and_strangers_do_not() -> None:
    met = missed = 0
    for seed in range(60):
        text = prose(seed)
        bands = set(bands_of(signature_of(runs_of(text))))
        met += bool(bands & set(bands_of(signature_of(runs_of(changed(text, 0.12))))))
        missed += bool(bands & set(bands_of(signature_of(runs_of(prose(seed + 1000))))))
    assert met >= 58
    assert missed <= 2
