"""What entries quote of the evidence stands in the custody chain as a hash alone, and beside it as text.

A chain can be checked for ever only if its rows never change, and evidence can be forgotten only if no
row holds it. So a quotation is *sealed*: the row holds the SHA-256 of a random salt and the value, and a
table beside the chain holds both. While they are there, the hash proves the text; once they are deleted,
nobody can try out what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from secrets import token_bytes
from typing import Any

import orjson

SALT_BYTES = 16

_MARK = "sealed"
_TEXTS = {
    "case": ("title", "description"),
    "import": ("title",),
    "poi_search": ("name", "aliases", "reason", "places"),
    "query": ("question", "answer", "understood"),
    "upload": ("title", "tags", "reason", "notice"),
}
"""Kind of machine → keys of its context that quote, or tell what something is about."""


@dataclass(frozen=True)
class Seal:
    """One sealed value.

    Attributes:
        place: Keys in the context, joined by a slash.
        evidence: What it quotes, as far as that is known by id.
        value: Canonical JSON.
    """

    place: str
    machine: str
    evidence: tuple[int, ...]
    salt: bytes
    value: bytes

    @property
    def hash(self) -> str:
        """Hex SHA-256 of salt and value: what the chain holds."""
        return hashlib.sha256(self.salt + self.value).hexdigest()


def seal(entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[Seal]]:
    """An entry with its quotations sealed, and the seals; what is empty stays as it is."""
    told: Any = entry.get("context")
    kind, machine = str(entry.get("kind", "")), str(entry.get("machine", ""))
    if not isinstance(told, dict) or kind not in _TEXTS:
        return dict(entry), []
    context, seals = dict(told), list[Seal]()
    for key in _TEXTS[kind]:
        if context.get(key):
            context[key] = _sealed(seals, machine, key, context[key], _quoted(context[key]))
    if kind == "query" and context.get("hits"):
        context["hits"] = {
            node: _sealed(seals, machine, f"hits/{node}", hit, (int(hit["evidence"]),))
            for node, hit in context["hits"].items()
        }
    return {**entry, "context": context}, seals


def unseal(entry: Mapping[str, Any], seals: Mapping[str, bytes]) -> dict[str, Any]:
    """The entry with the values that are still there; of the others nothing is left.

    Args:
        seals: Place → value.
    """
    told: Any = entry.get("context")
    if not isinstance(told, dict) or not any(_marks(told)):
        return dict(entry)
    context = {key: _opened(seals, key, value) for key, value in told.items()}
    if isinstance(context.get("hits"), dict):
        hits = {node: _opened(seals, f"hits/{node}", hit) for node, hit in context["hits"].items()}
        context["hits"] = {node: hit for node, hit in hits.items() if hit is not None}
    return {**entry, "context": context}


def marks(entry: Mapping[str, Any]) -> dict[str, str]:
    """Place → hash of every sealed value of an entry."""
    told: Any = entry.get("context")
    return dict(_marks(told)) if isinstance(told, dict) else {}


def _marks(context: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in context.items():
        if not isinstance(value, dict):
            continue
        if _is_mark(value):
            yield key, value[_MARK]
        elif key == "hits":
            yield from ((f"hits/{node}", hit[_MARK]) for node, hit in value.items() if _is_mark(hit))


def _is_mark(value: Any) -> bool:
    return isinstance(value, dict) and _MARK in value and value.keys() <= {_MARK, "empty"}


def _sealed(seals: list[Seal], machine: str, place: str, value: Any, evidence: tuple[int, ...]) -> Any:
    made = Seal(
        place, machine, evidence, token_bytes(SALT_BYTES), orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    )
    seals.append(made)
    empty: Any = "" if isinstance(value, str) else [] if isinstance(value, list) else None
    return {_MARK: made.hash, "empty": empty}


def _opened(seals: Mapping[str, bytes], place: str, value: Any) -> Any:
    if not _is_mark(value):
        return value
    return orjson.loads(seals[place]) if place in seals else value.get("empty")


def _quoted(value: Any) -> tuple[int, ...]:
    """The evidence that an answer cites, that a follow-up's names are from, or where a person was found."""
    if isinstance(value, list):
        return tuple(sorted({one["evidence"] for one in value if isinstance(one, dict)}))
    if not isinstance(value, dict):
        return ()
    cited = {citation["evidence"] for claim in value.get("claims", []) for citation in claim["citations"]}
    return tuple(sorted({*cited, *value.get("evidence", [])} - {0}))
