"""How good the people are that a folder of mails suggests, against a list of persons of interest.

Run with `python -m tests.bench.people FOLDER LIST`: mails as `.eml` files anywhere in the folder; a list of
names, one a line, “Last, First”, before them perhaps something in brackets. Prints two Markdown tables and
the pairs that wait for a verdict, for judging by hand; it writes nothing anywhere.
"""

from __future__ import annotations

import email.policy
import re
import sys
import time
from collections import Counter
from email import message_from_bytes
from pathlib import Path

from handlers.chunking import cut
from handlers.entities import entities
from handlers.poi_names import Person, PoiNames
from handlers.same_suggested import Suggestion, candidates, suggested
from storage.name_facts import Called, Known, NameFacts

HEADERS = ("From", "To", "Cc", "X-From", "X-To", "X-cc", "Subject")


def text_of(path: Path) -> str:
    """Headers that name people, then the plain text."""
    message = message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    head = "".join(f"{name}: {message[name]}\n" for name in HEADERS if message[name])
    return f"{head}\n{body.get_content() if body is not None else ''}"


def names_in(path: Path) -> list[str]:
    """The names of a list, as they are written there; lines of anything else are left out."""
    lines = (re.sub(r"^\(\w\)\s*", "", line).strip() for line in path.read_text().splitlines())
    return [line for line in lines if re.fullmatch(r"[^,:/]+, [^,:/]+", line)]


def facts_of(texts: list[str], pois: list[Person]) -> NameFacts:
    """What the rules find in the texts, as the tables would hold it."""
    found = PoiNames(pois)
    ids: dict[tuple[str, str], int] = {}
    known: list[Known] = []
    mentions: set[tuple[int, int]] = set()
    beside: Counter[tuple[int, int]] = Counter()
    for number, text in enumerate(texts):
        chunks, here = cut(text), entities(text, found)
        placed = []
        for one in here:
            if one.kind not in ("poi", "person", "organisation", "email"):
                continue
            if (one.kind, one.key) not in ids:
                ids[one.kind, one.key] = 1000 + len(ids)
                known.append(Known(ids[one.kind, one.key], one.kind, one.name, one.poi or None))
            entity = ids[one.kind, one.key]
            placed.append((one, entity))
            for chunk in chunks:
                if chunk.start <= one.start and one.end <= chunk.end:
                    mentions.add((1_000_000 + 1000 * number + chunk.ordinal, entity))
        for mail, address in placed:
            for who, person in placed:
                between = text[who.end : mail.start].strip()
                if mail.kind == "email" and who.kind in ("person", "poi") and between in ("<", '"<', '" <'):
                    beside[person, address] += 1
    pairs = [(person, address, times) for (person, address), times in sorted(beside.items())]
    return NameFacts(known, [Called(p.id, [p.name]) for p in pois], sorted(mentions), pairs)


def main(folder: Path, list_: Path) -> None:
    """Print what was measured."""
    texts = [text_of(path) for path in sorted(folder.rglob("*.eml"))]
    people = [Person(i + 1, name) for i, name in enumerate(names_in(list_))]
    listed = PoiNames(people)
    there = {one.poi for text in texts for one in listed.find(text)}
    facts = facts_of(texts, [])
    times = Counter(entity for _, entity in facts.mentions)
    named = {known.id: known.name for known in facts.names if known.kind == "person"}
    print(f"{len(texts)} mails name {len(there)} of {len(people)} listed; {len(named)} people suggested\n")
    print("| passages at least | people | of them listed | precision | recall of named |\n|--|--|--|--|--|")
    for least in (1, 2, 3, 5, 10):
        chosen = [name for entity, name in named.items() if times[entity] >= least]
        right = [{one.poi for one in listed.find(name)} for name in chosen]
        share = sum(map(bool, right)) / max(len(chosen), 1)
        found = len(set().union(*right) & there) / max(len(there), 1)
        print(f"| {least} | {len(chosen)} | {sum(map(bool, right))} | {share:.2f} | {found:.2f} |")
    facts = facts_of(texts, people)
    began = time.perf_counter()
    told = suggested(candidates(facts), [])
    print(f"\n{len(told)} pairs in {time.perf_counter() - began:.2f} s\n")
    names = {known.id: known.name for known in facts.names} | {p.id: p.name for p in people}
    print("| score at least | pairs | with a person of interest |\n|--|--|--|")
    for score in (0.9, 0.8, 0.7, 0.5, 0.3):
        chosen_pairs = [one for one in told if one.score >= score]
        print(f"| {score} | {len(chosen_pairs)} | {sum(one.pair.poi is not None for one in chosen_pairs)} |")
    print()
    for one in told[:80]:
        print(_line(one, names))


def _line(one: Suggestion, names: dict[int, str]) -> str:
    right = one.pair.other if one.pair.other is not None else one.pair.poi
    assert right is not None
    sort = "POI" if one.pair.poi is not None else "   "
    why = "; ".join(reason.words for reason in one.reasons)
    return f"{one.score:.2f} {sort} {names[one.pair.entity]} = {names[right]}  [{why}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
