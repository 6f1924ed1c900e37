"""Rich text documents (RTF): body, notes, headers, comments, tracked deletions, pictures and objects."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from handlers.parsing import blips, properties
from handlers.parsing.doc_formatting import moment
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.rtf_groups import ENTERED, OPEN, SKIPPED, Place
from handlers.parsing.rtf_objects import unwrapped
from handlers.parsing.rtf_words import CHARSETS, SYMBOLS, Token, codec, tokens
from handlers.parsing.writing import Writing

MOST_BYTES = 512 << 20
MOST_DEPTH = 2000

_INFO = {"author": "author", "operator": "last_modified_by", "company": "company", "manager": "manager",
         "subject": "subject", "keywords": "keywords", "doccomm": "description",
         "category": "category"}  # fmt: skip
_TIMES = {"creatim": "created", "revtim": "modified", "printim": "printed"}
_PICTURES = {
    "pngblip": ".png",
    "jpegblip": ".jpg",
    "emfblip": ".emf",
    "wmetafile": ".wmf",
    "dibitmap": ".bmp",
}
_OUTSIDE = re.compile(
    r"\s*(?:INCLUDEPICTURE|INCLUDETEXT|DDE|DDEAUTO|LINK|IMPORT|RD|DATABASE)\b", re.IGNORECASE
)
_LINK = re.compile(r'\s*HYPERLINK\s+(?!\\)"?([^"\s]+)', re.IGNORECASE)


@dataclass(frozen=True)
class _State:
    """What holds within a group; a group's end brings back the state before it."""

    place: Place = "body"
    name: str = ""
    font: int = 0
    skip: int = 1
    hidden: bool = False
    deleted: bool = False
    reviser: int = 0
    moment: int = 0


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read an RTF document; its pages are not known.

    Raises:
        Unreadable: It is none, or larger than can be read.
    """
    if source.path.stat().st_size > MOST_BYTES:
        raise Unreadable(f"the rich text document is larger than {MOST_BYTES >> 20} MiB")
    content = source.path.read_bytes()
    if not content[:64].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{\\rtf"):
        raise Unreadable("this is no rich text document (RTF), or it is damaged at its beginning")
    facts, writing = Facts(), Writing()
    enclosed = Enclosed(outlet, facts)
    reading = _Reading(facts, writing, enclosed)
    for token in tokens(content):
        reading.take(token)
    title = reading.end()
    facts.write(writing)
    enclosed.close()
    facts.note_left_out(writing)
    text, _ = writing.finish()
    return Parsed(text=text, title=title, meta=facts.meta())


class _Reading:
    def __init__(self, facts: Facts, writing: Writing, enclosed: Enclosed) -> None:
        self._facts = facts
        self._writing = writing
        self._enclosed = enclosed
        self._states = [_State()]
        self._buffers: list[list[str]] = [[]]
        """Of the body, and of each group that gathers text for itself."""
        self._codec = "cp1252"
        self._fonts: dict[int, str] = {}
        self._raw = bytearray()
        self._to_skip = 0
        self._half = ""
        self._starred = False
        self._cells: list[str] = []
        self._in_table = False
        self._gone: list[tuple[int, int, str]] = []
        self._notes: list[str] = []
        self._note_count = 0
        self._margins: list[str] = []
        self._hex: list[bytes] = []
        self._bitmap = ".bin"
        self._revisers: list[str] = []
        self._comment: dict[str, str] = {}
        self._link = ""
        self._title = ""
        self._time: dict[str, int] = {}
        self._listed = False

    def take(self, token: Token) -> None:
        """Go on by one token."""
        if token.sort == "bytes":
            self._bytes(token.content)
            return
        if not (token.sort == "word" and token.word == "u"):
            self._decode()
        match token.sort:
            case "open":
                if len(self._states) >= MOST_DEPTH:
                    raise Unreadable("the file is nested too deeply to be read")
                self._states.append(replace(self._states[-1], name=""))
                self._to_skip = 0
            case "close":
                self._to_skip = 0
                if len(self._states) > 1:
                    self._close(self._states.pop())
            case "word":
                self._word(token)
        self._starred = token.sort == "word" and token.word == "*"

    def end(self) -> str:
        """Write what is left; returns the title."""
        self._decode()
        if len(self._states) > 1:
            self._facts.notice("the document is cut off; what could be read of it was read")
            while len(self._states) > 1:
                self._close(self._states.pop())
        self._paragraph()
        if self._cells:
            self._row()
        for text in dict.fromkeys(self._margins):
            self._writing.paragraph(text)
        return properties.titled(self._title)

    @property
    def _state(self) -> _State:
        return self._states[-1]

    def _set(self, **changes: object) -> None:
        self._states[-1] = replace(self._states[-1], **changes)  # type: ignore[arg-type]

    def _bytes(self, content: bytes) -> None:
        if self._to_skip:
            skipped = min(self._to_skip, len(content))
            self._to_skip -= skipped
            content = content[skipped:]
        if not content:
            return
        if self._state.place in ("picture", "object"):
            self._hex.append(content)
        elif self._state.place not in ("skip", "time"):
            self._raw += content

    def _decode(self) -> None:
        """Text gathered so far, in the code page of its font: a character may be several bytes."""
        if self._raw:
            name = self._fonts.get(self._state.font, self._codec)
            try:
                text = self._raw.decode(name, "replace")
            except LookupError:
                text = self._raw.decode("cp1252", "replace")
            self._raw.clear()
            self._text(text)

    def _text(self, text: str) -> None:
        state = self._state
        match state.place:
            case "skip" | "time" | "picture" | "object" | "fonts":
                return
            case "body" | "note" | "margin" | "comment" if state.deleted:
                key = (state.reviser, state.moment)
                if self._gone and self._gone[-1][:2] == key:
                    self._gone[-1] = (*key, self._gone[-1][2] + text)
                else:
                    self._gone.append((*key, text))
                return
        self._buffers[-1].append(f"\x0e{text}\x0f" if state.hidden else text)

    def _word(self, token: Token) -> None:
        word, number = token.word, token.number
        state = self._state
        if self._starred and word in OPEN:
            return
        if self._starred and not self._destination(word):
            # A starred word that is not known marks a group that may be passed over.
            self._set(place="skip", name=word)
            return
        if self._destination(word):
            self._enter(word)
            return
        match word:
            case "u":
                self._unicode(number or 0)
            case "uc":
                self._set(skip=max(number or 0, 0))
            case "bin":
                self._hex.append(token.content.hex().encode())
            case "ansicpg":
                self._codec = codec(number or 1252)
            case "mac" | "pc" | "pca":
                self._codec = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[word]
            case "f":
                self._set(font=number or 0)
            case "deff" if state.place == "body":
                self._states[0] = replace(self._states[0], font=number or 0)
            case "fcharset" if state.place == "fonts":
                # Without a set of its own, the code page of the document holds.
                if number not in (None, 0, 1, 2):
                    self._fonts[state.font] = CHARSETS.get(number or 0, self._codec)
            case "cpg" if state.place == "fonts":
                self._fonts[state.font] = codec(number or 1252)
            case "plain":
                self._set(hidden=False, deleted=False)
            case "v":
                self._set(hidden=number != 0)
            case "deleted":
                self._set(deleted=number != 0)
            case "revauthdel":
                self._set(reviser=number or 0)
            case "revdttmdel":
                self._set(moment=(number or 0) & 0xFFFFFFFF)
            case "cell" | "nestcell":
                self._cell()
            case "row" | "nestrow":
                self._row()
            case "intbl":
                self._in_table = True
            case "pard":
                self._in_table = False
            case "chftn":
                self._mark_note()
            case "yr" | "mo" | "dy" | "hr" | "min" if state.place == "time":
                self._time[word] = number or 0
            case _ if word in _PICTURES and state.place == "picture":
                self._bitmap = _PICTURES[word]
            case "line" | "softline" | "column":
                self._text("\n")
            case _ if word in SYMBOLS:
                self._symbol(SYMBOLS[word])

    def _unicode(self, number: int) -> None:
        self._decode()
        code = number & 0xFFFF
        if 0xD800 <= code < 0xDC00:
            self._half = chr(code)
        else:
            pair = self._half + chr(code)
            self._half = ""
            self._text(pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
        self._to_skip = self._state.skip

    def _symbol(self, text: str) -> None:
        if self._to_skip:
            self._to_skip -= 1
        elif text == "\n" and self._state.place == "body" and len(self._buffers) == 1 and not self._in_table:
            self._paragraph()
        else:
            self._text(text)

    def _destination(self, word: str) -> bool:
        return word in SKIPPED or word in ENTERED or word in _INFO or word in _TIMES

    def _enter(self, word: str) -> None:
        """A word that gives the group it begins a meaning of its own."""
        state = self._state
        if state.place == "skip":
            return
        if word in SKIPPED:
            self._set(place="skip", name=word)
        elif word in _TIMES:
            self._time = {}
            self._set(place="time", name=word)
        elif word in _INFO or word == "title":
            if state.place == "info":
                self._gather("info", word)
        else:
            place = ENTERED[word]
            if place in ("picture", "object"):
                self._hex, self._bitmap = [], ".bin"
                self._set(place=place, name=word)
            elif place in ("info", "fonts"):
                self._set(place=place)
            else:
                self._gather(place, word)

    def _gather(self, place: Place, name: str) -> None:
        if not self._state.name:
            self._buffers.append([])
        self._set(place=place, name=name, hidden=False, deleted=False)

    def _close(self, state: _State) -> None:
        if not state.name or state.place == "skip":
            return
        if state.place == "time":
            self._note_time(state.name)
            return
        if state.place in ("picture", "object"):
            self._send(state)
            return
        raw = "".join(self._buffers.pop())
        text = self._shown(raw) if state.place != "body" else ""
        match state.place:
            case "info" if state.name == "title":
                self._title = text
            case "info":
                self._facts.know(_INFO[state.name], text)
            case "instruction":
                if _OUTSIDE.match(text):
                    self._facts.refer(f"field {text}")
                link = _LINK.match(text)
                self._link = link[1] if link else ""
            case "margin":
                self._margins.append(text)
            case "note" if text:
                self._notes.append(
                    f"[{self._note_count}] {text.removeprefix(f'[{self._note_count}]').strip()}"
                )
            case "comment_fact":
                self._comment[state.name] = text
            case "comment":
                author = self._comment.get("atnauthor", "")
                self._facts.annotate("comment", author, text, self._comment_time())
                self._comment = {}
            case "revisers":
                self._revisers = [name.strip() for name in text.split(";")]
            case "template":
                if re.match(r"\s*(?:https?:|ftp:|\\\\|//)", text):
                    self._facts.refer(f"template {text}")
                self._facts.know("template", text if not text.startswith("Normal") else "")
            case "body" if state.name == "shptxt":
                self._notes.append(self._shown(raw))
            case "body" if state.name in ("listtext", "pntext"):
                self._buffers[-1].append(" ".join(raw.split()) + " ")
                self._listed = True
            case "body":
                beside = f" <{self._link}>" if self._link and self._link not in raw else ""
                self._buffers[-1].append(raw + beside)
                self._link = ""

    def _comment_time(self) -> str:
        said = self._comment.get("atndate", "").strip()
        return moment(int(said) & 0xFFFFFFFF) if re.fullmatch(r"-?\d{1,10}", said) else ""

    def _mark_note(self) -> None:
        """The mark in the text, and the same at the beginning of the note itself."""
        if self._state.place != "note":
            self._note_count += 1
        self._text(f"[{self._note_count}]")

    def _shown(self, text: str) -> str:
        text = re.sub("\x0f(\\s*)\x0e", r"\1", text)
        return re.sub("\x0e([^\x0f]*)\x0f", lambda found: self._facts.hide(found[1]), text).strip()

    def _paragraph(self) -> None:
        if self._cells:
            self._row()
        text = self._shown("".join(self._buffers[0]))
        self._buffers[0].clear()
        self._note_deleted(text)
        if self._listed:
            self._writing.line(text)
        else:
            self._writing.paragraph(text)
        self._listed = False
        self._write_notes()

    def _cell(self) -> None:
        if len(self._buffers) > 1:
            self._text("\t")
            return
        text = self._shown("".join(self._buffers[0]))
        self._buffers[0].clear()
        self._note_deleted(text)
        self._cells.append(text)

    def _row(self) -> None:
        if len(self._buffers) == 1:
            self._writing.row(self._cells)
            self._cells = []
            self._write_notes()
        else:
            self._text("\n")

    def _write_notes(self) -> None:
        for note in self._notes:
            self._writing.paragraph(note)
        self._notes = []

    def _note_deleted(self, beside: str) -> None:
        for reviser, at, text in self._gone:
            author = self._revisers[reviser] if 0 <= reviser < len(self._revisers) else ""
            self._facts.delete(text, author, moment(at), beside)
        self._gone = []

    def _note_time(self, name: str) -> None:
        if self._time.get("yr"):
            numbers = [self._time.get(part, 0) for part in ("yr", "mo", "dy", "hr", "min")]
            self._facts.know(_TIMES[name], "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}".format(*numbers))

    def _send(self, state: _State) -> None:
        digits = re.sub(rb"[^0-9a-fA-F]", b"", b"".join(self._hex))
        self._hex = []
        content = bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))
        if not content:
            return
        if state.place == "picture":
            held = blips.with_head(content) if self._bitmap == ".bmp" else content
            said = self._enclosed.held(f"picture{self._bitmap}", held, picture=True) if held else ""
            if said:
                self._text(f"[drawing: {' '.join(said.split())}]")
        else:
            name, held = unwrapped(content)
            self._enclosed.held(name, held)
