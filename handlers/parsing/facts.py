"""What the readers of documents find beside the text: facts for `Parsed.meta` and for its notice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from handlers.parsing.parsed import clean
from handlers.parsing.writing import MAX_CHARACTERS, Writing

MOST_LISTED = 500
MOST_CHARACTERS = 500


def shorten(text: str, most: int = MOST_CHARACTERS) -> str:
    """Text in one line, cut with an ellipsis."""
    text = " ".join(clean(text).split())
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass
class Facts:
    """Facts of one file.

    Attributes:
        known: Single facts by their names in `meta`.
        notices: Sentences for the user, without full stop.
        external: What the file refers to outside of itself; nothing of it is ever fetched.
        hidden: Text, sheets, rows and slides that a reader of the document does not see.
        deleted: Text that tracked changes have taken away: `text`, `author`, `at`, and
            what stands `beside` it.
        annotations: Comments and notes: `page`, `kind`, `author`, `text`, `at`, and what they are `on`.
    """

    known: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    deleted: list[dict[str, str]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def know(self, name: str, value: str) -> None:
        """Note a fact, unless it is empty or known."""
        if (said := shorten(value)) and name not in self.known:
            self.known[name] = said

    def refer(self, target: str) -> None:
        """Note something outside, once."""
        if (said := shorten(target)) and said not in self.external:
            self.external.append(said)

    def notice(self, sentence: str) -> None:
        """Tell the user, once."""
        if sentence not in self.notices:
            self.notices.append(sentence)

    def hide(self, text: str) -> str:
        """Note hidden text; returns it as it is marked in the text."""
        if not text.strip():
            return text
        self.hidden.append(text)
        return f"[hidden: {text.strip()}]"

    def delete(self, text: str, author: str, at: str, beside: str) -> None:
        """Note what a tracked change has deleted, and what still stands around it."""
        if text.strip():
            self.deleted.append(
                {"text": text.strip(), "author": shorten(author), "at": at, "beside": shorten(beside, 160)}
            )

    def annotate(self, kind: str, author: str, text: str, at: str, *, page: int = 0, on: str = "") -> None:
        """Note a comment, and the text that it is on."""
        if text.strip():
            found = {"page": page, "kind": kind, "author": shorten(author), "text": text.strip(), "at": at}
            self.annotations.append(found | ({"on": shorten(on, 160)} if on.strip() else {}))

    def write(self, writing: Writing) -> None:
        """Comments and deleted text as the last sections of the text, so that they are found."""
        if self.annotations:
            writing.paragraph("Comments")
        for note in self.annotations:
            writing.paragraph(comment(note))
        if self.deleted:
            writing.paragraph("Deleted text (tracked changes)")
        for gone in self.deleted:
            beside = f" (beside “{gone['beside']}”)" if gone["beside"] else ""
            writing.paragraph(f"{_said('Deleted', gone)}: “{gone['text']}”{beside}")

    def note_left_out(self, writing: Writing) -> None:
        """Tell how much did not fit into the text."""
        if writing.left_out:
            self.left_out(writing.left_out)
            self.notice(
                f"{_count(writing.left_out, 'paragraph or row', 'paragraphs or rows')} beyond"
                f" {MAX_CHARACTERS:,} characters were left out"
            )

    def left_out(self, number: int) -> None:
        """Count what was left out; a notice tells why."""
        self.known["left_out"] = self.known.get("left_out", 0) + number

    def meta(self) -> dict[str, Any]:
        """All of it, as `Parsed.meta`."""
        meta: dict[str, Any] = dict(self.known)
        notices = list(self.notices)
        if meta.get("macros"):
            notices.append("it holds macros, which were not run")
        if self.external:
            notices.append(
                f"it refers to {_count(len(self.external), 'outside source')}, not fetched (see facts)"
            )
        if self.hidden:
            notices.append("it has hidden content, marked in the text")
        if self.deleted:
            notices.append("it has tracked deletions, listed at the end of the text")
        deleted = [gone | {"text": shorten(gone["text"])} for gone in self.deleted]
        annotations = [note | {"text": shorten(note["text"])} for note in self.annotations]
        for name, found in (
            ("external", self.external),
            ("hidden", [shorten(text) for text in self.hidden]),
            ("deleted", deleted),
            ("annotations", annotations),
        ):
            if found:
                meta[name] = found[:MOST_LISTED]
                if len(found) > MOST_LISTED:
                    meta[f"{name}_not_listed"] = len(found) - MOST_LISTED
        if notices:
            meta["notice"] = "; ".join(notices)
        return meta


def comment(note: dict[str, Any]) -> str:
    """A comment as it is written into the text."""
    on = f" on “{note['on']}”" if note.get("on") else ""
    return f"{_said(note['kind'].capitalize(), note)}{on}: {note['text']}"


def _said(what: str, note: dict[str, Any]) -> str:
    by = f" by {note['author']}" if note["author"] else ""
    return f"{what}{by}{', ' + note['at'] if note['at'] else ''}"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
