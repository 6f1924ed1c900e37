"""What is one thing across cases, what joins nothing, how ends are connected; on graphs made at random."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.detective_between import between
from handlers.detective_drafts import Draft, Step, fingerprint, from_json
from handlers.detective_ends import HOPS, End, _costs, ways
from handlers.detective_keys import is_noise
from handlers.detective_near import near_evidence
from handlers.detective_rank import ordered, standings
from handlers.detective_reach import reach
from handlers.detective_sources import mark_at
from handlers.detective_web import Web, weave
from storage.detective import CaseFacts, File, Named, PassageText, Person, Sections


def case(
    name: str,
    persons: list[tuple[int, str, tuple[str, ...]]],
    named: list[tuple[int, str, str]],
    mentions: list[tuple[int, int]],
    files: int,
) -> CaseFacts:
    """A case whose files have a passage each; file and passage n have the ids 1,000 n and 1,000 n + 1.

    Args:
        named: Id, kind and name; the key is the name in lower case.
        mentions: File number and entity.
    """
    base = 10_000 * (ord(name[0]) - ord("a") + 1)
    return CaseFacts(
        case=name,
        title=name.upper(),
        persons=[Person(node, called, aliases) for node, called, aliases in persons],
        named=[
            Named(node, kind, called.lower(), called, False, node - 500 if kind == "poi" else 0)
            for node, kind, called in named
        ],
        files=[
            File(base + 10 * n, f"file {name}{n}", f"{name}{n}", 0, frozenset(), "", "") for n in range(files)
        ],
        chunks=np.array(
            [(base + 10 * n + 1, base + 10 * n, 0, 100, 60) for n in range(files)], dtype=np.int64
        ).reshape(-1, 5),
        mentions=np.array(
            sorted({(base + 10 * n + 1, entity, 0, 0, 0, 0, 0, 9 * entity) for n, entity in mentions}),
            dtype=np.int64,
        ).reshape(-1, 8),
        copies=[],
    )


@st.composite
def webs(draw: st.DrawFn) -> Web:
    """One or two cases with a few people who are named here and there."""
    cases = []
    for name in "ab"[: draw(st.integers(1, 2))]:
        offset = 1 if name == "a" else 101
        files, people = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        persons = [(offset + i, f"Person {chr(97 + i)}x", ()) for i in range(draw(st.integers(0, 2)))]
        named = [(offset + 500 + i, "poi", called) for i, (_, called, _) in enumerate(persons)]
        named += [(offset + 20 + i, "person", f"Name {chr(97 + i)}y") for i in range(people)]
        pairs = st.tuples(st.integers(0, files - 1), st.sampled_from([node for node, _, _ in named]))
        cases.append(case(name, persons, named, draw(st.lists(pairs, max_size=20)), files))
    return weave(cases)


def drafts_of(web: Web) -> st.SearchStrategy[list[Draft]]:
    nodes = [m.node for m in web.members] + [f.node for f in web.files]

    def draft(i: int, a: int, b: int, strength: float, alike: bool) -> Draft:
        kind = "near" if alike else "connected"
        what = {m.node: m.what for m in web.members}
        steps = tuple(Step(what.get(node, "evidence"), node) for node in (a, b))
        return Draft(kind, steps, (kind,), strength, 1.0, fingerprint(kind, str(i), str(a), str(b)))

    return st.lists(
        st.builds(
            draft,
            st.integers(0, 30),
            st.sampled_from(nodes),
            st.sampled_from(nodes),
            st.floats(1e-6, 1.0),
            st.booleans(),
        ),
        max_size=25,
    )


@settings(deadline=None)
@given(st.data())
def test_nothing_that_is_merely_alike_stands_above_what_is_said(data: st.DataObject) -> None:
    web = data.draw(webs())
    drafts = data.draw(drafts_of(web))
    accepted = data.draw(
        st.dictionaries(st.sampled_from([m.node for m in web.members]), st.integers(1, 3), max_size=3)
    )
    standing, _ = standings(web, drafts, [], accepted)
    limit = data.draw(st.integers(1, 30))
    best = ordered(drafts, standing, accepted=accepted, dismissed=[], limit=limit)
    assert len(best) <= limit
    assert [d.explicit for d in best] == sorted((d.explicit for d in best), reverse=True)
    for better, worse in pairwise(best):
        assert better.score >= worse.score or (better.explicit and not worse.explicit)
        if better.explicit and not worse.explicit:
            assert better.score > 0.5 > worse.score
    assert len({d.fingerprint for d in best}) == len(best)
    gone = {d.fingerprint for d in best[:1]}
    assert not gone & {
        d.fingerprint for d in ordered(drafts, standing, accepted=accepted, dismissed=gone, limit=limit)
    }


def shortest(web: Web, a: End, b: End) -> float | None:
    """The least cost over at most `HOPS` mentions, by trying everything."""
    costs = _costs(web, a, b)
    best: dict[tuple[str, int], float] = {}
    here: dict[tuple[str, int], float] = (
        {("name", a.identity): 0.0}
        if a.identity >= 0
        else {("unit", int(u)): 0.0 for u in np.flatnonzero(web.unit_file == a.file)}
    )
    for _ in range(HOPS):
        there: dict[tuple[str, int], float] = {}
        for (sort, place), cost in here.items():
            for m in range(len(web.units)):
                ends = {"name": int(web.named[m]), "unit": int(web.units[m])}
                other = "unit" if sort == "name" else "name"
                if ends[sort] == place:
                    key = (other, ends[other])
                    there[key] = min(there.get(key, np.inf), cost + float(costs[m]))
        for key, cost in there.items():
            best[key] = min(best.get(key, np.inf), cost)
        here = there
    wanted = [
        cost
        for (sort, place), cost in best.items()
        if (sort == "name" and place == b.identity) or (sort == "unit" and web.unit_file[place] == b.file)
    ]
    return min(wanted, default=None)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_first_way_between_two_ends_is_the_best_there_is(data: st.DataObject) -> None:
    web = data.draw(webs())
    ends = [End(identity=i) for i in range(len(web.identities))] + [
        End(file=f) for f in range(len(web.files))
    ]
    a, b = data.draw(st.lists(st.sampled_from(ends), min_size=2, max_size=2, unique=True))
    found, cost = ways(web, a, b), shortest(web, a, b)
    assert bool(found) == (cost is not None)
    if cost is None:
        return
    assert found[0].strength == pytest.approx(max(np.exp(-cost) * found[0].confidence, 1e-6))
    assert len({one.fingerprint for one in found}) == len(found)
    for one in found:
        assert len(one.edges) == len(one.steps) - 1
        assert one.edges.count("named") <= HOPS
        assert from_json(one.to_json()) == one


@settings(deadline=None)
@given(webs())
def test_paths_are_between_those_whom_no_file_names_together(web: Web) -> None:
    ends = [i for i in range(len(web.identities)) if web.common[i]]
    for draft in between(web, ends):
        first, last = (web.member_at[draft.steps[i].node] for i in (0, -1))
        a, b = (set(web.files_of(int(web.identity_of[m])).tolist()) for m in (first, last))
        assert bool(a & b) == (draft.kind == "together")
        for step, (edge, after) in zip(
            draft.steps, zip(draft.edges, draft.steps[1:], strict=True), strict=False
        ):
            assert edge != "named" or (step.what == "evidence") != (after.what == "evidence")
            assert (
                not edge.startswith("same")
                or web.identity_of[web.member_at[step.node]] == web.identity_of[web.member_at[after.node]]
            )


def test_two_cases_meet_in_a_full_name_an_alias_and_an_address_made_of_a_name() -> None:
    here = case(
        "a", [(1, "Ellen Wharton", ("ewh@acme.example",))], [(501, "poi", "Ellen Wharton")], [(0, 501)], 1
    )
    there = case(
        "b",
        [],
        [
            (121, "person", "Ellen Wharton"),
            (122, "email", "ewh@acme.example"),
            (123, "email", "ellen.wharton@other.example"),
            (124, "person", "Ellen Wharting"),
        ],
        [(0, 121)],
        1,
    )
    web = weave([here, there])
    same = {web.members[m].node for m in web.identities[int(web.identity_of[web.member_at[1]])]}
    assert same == {1, 501, 121, 122, 123}
    assert web.why_same(web.member_at[1], web.member_at[122]) == "email"


@pytest.mark.parametrize(
    ("kind", "key", "noise"),
    [
        ("date", "2001-05-14", True),
        ("money", "USD 9500000", True),
        ("email", "noreply@acme.example", True),
        ("email", "ellen@acme.example", False),
        ("organisation", "department of justice", True),
        ("organisation", "vanter holding", False),
        ("person", "ellen", True),
        ("person", "ellen wharton", False),
    ],
)
def test_what_anybody_names_joins_nobody(kind: str, key: str, noise: bool) -> None:
    assert is_noise(kind, key, accepted=False) is noise


def test_a_name_that_is_everywhere_joins_less_than_a_rare_one() -> None:
    people = [(1, "Ann Orr", ()), (2, "Bob Lee", ())]
    named = [
        (501, "poi", "Ann Orr"),
        (502, "poi", "Bob Lee"),
        (21, "person", "Rare One"),
        (22, "person", "Every Body"),
    ]
    mentions = [(0, 501), (0, 21), (0, 22), (1, 502), (1, 21), (1, 22)] + [(n, 22) for n in range(2, 20)]
    web = weave([case("a", people, named, mentions, 20)])
    (best, *_) = sorted(between(web, [0, 1]), key=lambda d: -d.strength)
    assert [step.node for step in best.steps][2] == 21
    assert reach(web, 0).others.tolist()


def test_only_the_names_beside_each_other_in_a_long_document_are_joined() -> None:
    people = [(1, "Ann Orr", ()), (2, "Bob Lee", ())]
    named = [(501, "poi", "Ann Orr"), (502, "poi", "Bob Lee")]
    facts = case("a", people, named, [], 1)
    chunks = [(10_001 + n, 10_000, n, 100, 60) for n in range(10)]
    far = CaseFacts(
        facts.case, facts.title, facts.persons, facts.named, facts.files, np.array(chunks),
        np.array([(10_001, 501, *[0] * 6), (10_010, 502, *[0] * 6)]), [],
    )  # fmt: skip
    assert between(weave([far]), [0, 1]) == []


def test_copies_replies_and_files_of_one_mail_are_not_told_as_near() -> None:
    facts = case("a", [], [], [], 2)
    one, other = facts.files
    vectors = np.array([[1.0, 0.0], [0.999, 0.0447]], dtype=np.float32)
    titles = ("The lower gate", "Copper from the north")
    one, other = (
        File(file.node, title, file.sha256, 0, frozenset(), "", "")
        for file, title in zip((one, other), titles, strict=True)
    )
    sections = Sections(np.array([one.node, other.node]), np.array([0, 0]), vectors)

    def near(first: File, second: File, copies: list[tuple[int, int]]) -> int:
        changed = CaseFacts(
            facts.case, facts.title, [], [], [first, second], facts.chunks, facts.mentions, copies
        )
        return len(near_evidence(weave([changed]), [sections])[0])

    assert near(one, other, []) == 1
    assert near(one, other, [(one.node, other.node)]) == 0
    answer = File(other.node, other.title, other.sha256, 0, frozenset({"<a>", "<b>"}), "", "")
    question = File(one.node, one.title, one.sha256, 0, frozenset({"<a>"}), "", "")
    assert near(question, answer, []) == 0
    inside = File(other.node, other.title, other.sha256, one.node, frozenset(), "", "")
    assert near(one, inside, []) == 0
    subjects = [File(f.node, f.title, f.sha256, 0, frozenset(), subject, "") for f, subject in
                zip((one, other), ("The gate", "RE: the gate"), strict=True)]  # fmt: skip
    assert near(*subjects, []) == 0


def test_a_title_that_two_share_makes_no_conversation_of_them() -> None:
    facts = case("a", [], [], [], 2)
    opinions = [replace(file, title="Court of Appeals") for file in facts.files]
    assert len(set(weave([replace(facts, files=opinions)]).family.tolist())) == 2
    mails = [replace(file, subject="Court of Appeals") for file in facts.files]
    assert len(set(weave([replace(facts, files=mails)]).family.tolist())) == 1


@settings(deadline=None)
@given(
    st.text(alphabet="ab \n", min_size=1, max_size=1500),
    st.lists(st.tuples(st.integers(0, 1499), st.integers(1, 12)), min_size=1, max_size=3),
)
def test_a_snippet_marks_the_very_characters_of_its_source(text: str, spots: list[tuple[int, int]]) -> None:
    starts = [(min(start, len(text) - 1), length) for start, length in spots]
    places = sorted({(start, min(len(text), start + length)) for start, length in starts})
    passage = PassageText(7, 3, "title", 1, 50, 50 + len(text), text)
    source = mark_at(passage, "c", [(50 + start, 50 + end) for start, end in places])
    wanted = [" ".join(text[start:end].split()) for start, end in places]
    shown = [" ".join(source.snippet[slice(*mark)].split()) for mark in source.marked]
    assert [words for words in shown if words] == [words for words in wanted if words]
    assert len(source.snippet) <= 360


def test_somebody_is_met_by_a_short_name_and_a_common_name_is_less_sure() -> None:
    here = case("a", [(1, "Robert Quill", ()), (2, "Ann Smith", ())], [], [], 1)
    there = case("b", [], [(121, "person", "Bob Quill"), (122, "person", "Ann Smith")], [(0, 121)], 1)
    web = weave([here, there])
    assert web.why_same(web.member_at[1], web.member_at[121]) == "short name"
    assert web.why_same(web.member_at[2], web.member_at[122]) == "common name"


def test_whoever_stands_together_in_a_list_alone_is_not_joined_by_it() -> None:
    people = [(1, "Ann Orr", ()), (2, "Bob Lee", ())]
    named = [(501, "poi", "Ann Orr"), (502, "poi", "Bob Lee")]
    text = case("a", people, named, [(0, 501), (0, 502)], 2)
    assert [draft.kind for draft in between(weave([text]), [0, 1])] == ["together"]
    rows = text.chunks.copy()
    rows[:, 4] = 2  # words in lower case, of 100
    table = CaseFacts(
        text.case, text.title, text.persons, text.named, text.files, rows, text.mentions, text.copies
    )
    assert between(weave([table]), [0, 1]) == []


def spoken(facts: CaseFacts, places: list[tuple[int, int, int, int, int]]) -> CaseFacts:
    """The case with mentions of file number and entity at a character, with words in lower case of 20 beside
    it, behind a text of some number."""
    base = int(facts.files[0].node)
    rows = [
        (base + 10 * n + 1, entity, at, 20, prose, before, 0, at // 6)
        for n, entity, at, prose, before in places
    ]
    return replace(facts, mentions=np.array(sorted(rows), dtype=np.int64))


PAIR = [(1, "Ann Orr", ()), (2, "Bob Lee", ())]
PAIR_NAMED = [(501, "poi", "Ann Orr"), (502, "poi", "Bob Lee")]


def test_a_header_and_a_quotation_put_nobody_side_by_side() -> None:
    facts = case("a", PAIR, PAIR_NAMED, [], 4)
    text = spoken(facts, [(0, 501, 0, 15, 7), (0, 502, 30, 15, 8), (1, 501, 0, 15, 0)])
    (together,) = between(weave([text]), [0, 1])
    assert (together.kind, together.count) == ("together", 1)
    header = spoken(facts, [(0, 501, 0, 15, 0), (0, 502, 30, 0, 0)])
    assert between(weave([header]), [0, 1]) == []
    quoted = spoken(facts, [(n, who, 30 * (who - 501), 15, who) for n in range(3) for who in (501, 502)])
    (once,) = between(weave([quoted]), [0, 1])
    assert once.count == 1, "the same words once more are no second place"
    anew = spoken(
        facts, [(n, who, 30 * (who - 501), 15, 10 * n + who) for n in range(3) for who in (501, 502)]
    )
    assert between(weave([anew]), [0, 1]) == [], "three places are no news"


def test_who_stand_far_from_each_other_in_one_passage_are_not_side_by_side() -> None:
    facts = case("a", PAIR, PAIR_NAMED, [], 2)
    near, far = (
        between(weave([spoken(facts, [(0, 501, 0, 15, 0), (0, 502, apart, 15, 0)])]), [0, 1])
        for apart in (40, 900)
    )
    assert [draft.kind for draft in near] == ["together"]
    assert far == []


def test_to_be_listed_with_somebody_says_less_than_to_be_told_of_with_them() -> None:
    facts = case("a", PAIR, PAIR_NAMED, [], 2)
    (listed,), (told,) = (
        between(weave([spoken(facts, [(0, 501, 0, 15, 0), (0, 502, apart, 15, 0)])]), [0, 1])
        for apart in (10, 60)
    )
    assert listed.strength < told.strength


def test_those_whom_chance_brings_together_are_less_than_those_whom_it_does_not() -> None:
    people = [(i, f"Person {chr(97 + i)}x", ()) for i in range(1, 5)]
    named = [(500 + i, "poi", called) for i, called, _ in people]
    often = [(n, 501) for n in range(20)] + [(n, 502) for n in range(19, 39)]
    rare = [(n, 503) for n in (40, 41, 42)] + [(n, 504) for n in (42, 43, 44)]
    web = weave([case("a", people, named, often + rare, 60)])
    drafts = {draft.steps[0].node: draft for draft in between(web, range(4))}
    assert drafts[3].strength > 2 * drafts[1].strength


def test_a_surname_behind_a_title_is_the_one_person_who_has_it() -> None:
    named = [(21, "person", "Ellen Wharton"), (22, "person", "Wharton"), (23, "person", "Dahl")]
    web = weave([case("a", [], named, [(0, 21), (0, 22), (1, 22), (2, 23)], 3)])
    assert [[web.members[m].node for m in group] for group in web.identities] == [[21, 22]]
    assert web.why_same(web.member_at[21], web.member_at[22]) == "surname"
    away = weave([case("a", [], named, [(0, 21), (0, 22), (1, 22), (2, 22)], 3)])
    assert 22 not in away.member_at, "most of the evidence that has the surname names nobody in full"
    twice = [*named, (24, "person", "Piet Wharton")]
    web = weave([case("a", [], twice, [(0, 21), (0, 22), (0, 24)], 3)])
    assert web.name_of(int(web.identity_of[web.member_at[21]])) == "Ellen Wharton"
    assert 22 not in web.member_at, "two have the surname"
    given = [(21, "person", "Piet Kenneth"), (22, "person", "Kenneth")]
    assert 22 not in weave([case("a", [], given, [(0, 21), (0, 22)], 2)]).member_at, "it is a given name"


def test_what_everything_mentions_has_no_standing_for_that() -> None:
    named = [(21, "person", "Every Body"), (22, "person", "Rare One")]
    web = weave([case("a", [], named, [(n, 21) for n in range(9)] + [(0, 22)], 10)])
    standing, _ = standings(web, [], [], {})
    assert standing[21] == standing[22] == 1.0
    near, _ = standings(web, [], [web.files[0].node], {})
    assert near[22] > near[21]


def test_an_organisation_is_as_common_as_its_first_word() -> None:
    facts = case(
        "a", [], [(21, "organisation", "Vanter Holding"), (22, "person", "Rare One")], [(0, 21), (0, 22)], 9
    )
    known = replace(facts, named=[replace(facts.named[0], by_word=7), facts.named[1]])
    (alone, beside), (common, _) = (weave([one]).weights.tolist() for one in (facts, known))
    assert alone == beside
    assert common < alone / 2


def test_a_document_that_alone_names_two_says_less_of_them() -> None:
    facts = case("a", PAIR, PAIR_NAMED, [(0, 501), (0, 502)], 99)
    known = case("a", PAIR, PAIR_NAMED, [(0, 501), (0, 502), (1, 501), (2, 502)], 99)
    (local,), (wide,) = (between(weave([one]), [0, 1]) for one in (facts, known))
    assert local.kind == wide.kind == "together"
    assert local.strength < wide.strength


def test_several_who_stand_side_by_side_in_one_text_alone_are_told_once() -> None:
    persons = [(n, f"Person {letter}x", ()) for n, letter in ((1, "a"), (2, "b"), (3, "c"), (4, "d"))]
    named = [(500 + node, "poi", name) for node, name, _ in persons]
    trio = [(0, 501), (0, 502), (0, 503)]
    (one,) = between(weave([case("a", persons, named, [*trio, (1, 504)], 20)]), [0, 1, 2, 3])
    assert one.kind == "together"
    assert {one.steps[0].node, one.steps[-1].node, *one.also} == {1, 2, 3}
    again = [*trio, (1, 501), (1, 504)]
    found = between(weave([case("a", persons, named, again, 20)]), [0, 1, 2, 3])
    both = [{draft.steps[0].node, draft.steps[-1].node} for draft in found if draft.kind == "together"]
    assert len(both) == 2
    assert {1, 4} in both, "who stand in another text are told of by themselves"
