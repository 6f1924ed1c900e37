"""Plain text and Markdown: which encoding, and what the title is."""

from __future__ import annotations

import codecs
import re

from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable, clean

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HEADING = re.compile(r"^(?:#{1,3}[ \t]+(.+?)[ \t#]*|(.+)\n=+[ \t]*)$", re.MULTILINE)

MOST_CONTROL = 0.002
"""Share of control characters above which content is not text."""


def guess_encoding(content: bytes, *, whole: bool = True) -> str | None:
    """Name of the encoding that a text is in; None for what is no text.

    Args:
        content: The text, or its beginning if not `whole`.

    A byte order mark decides, then validity as UTF-8, then where the zero bytes of UTF-16 lie; what
    remains has few control characters and is taken for Windows-1252 or, where that has gaps, Latin-1.
    """
    for bom, name in _BOMS:
        if content.startswith(bom):
            return name
    if b"\x00" in content:
        return _wide(content)
    if len(_CONTROL.findall(content)) > MOST_CONTROL * len(content):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
        return "utf-8"
    except UnicodeDecodeError:
        pass
    # Legacy text is mostly ASCII letters; compressed and encoded data is not.
    if sum(byte < 0x80 for byte in content) < 0.5 * len(content):
        return None
    return "latin-1" if set(content) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark has its zeros in every other place, in Latin text at least."""
    half = len(content) // 2
    even, odd = content[0::2].count(0), content[1::2].count(0)
    name = "utf-16-le" if odd > 0.4 * half and even == 0 else "utf-16-be"
    if name == "utf-16-be" and not (even > 0.4 * half and odd == 0):
        return None
    return name


def decode(content: bytes) -> tuple[str, str]:
    """Text and the name of its encoding.

    Raises:
        Unreadable: The content is no text.
    """
    encoding = guess_encoding(content)
    if encoding is None:
        raise Unreadable("the file is not text: it holds binary data")
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError:
        # A mark or the zeros have named the encoding; a damaged place does not make it another one.
        return content.decode(encoding, errors="replace"), f"{encoding}, damaged"


def read(source: Source, outlet: Outlet) -> Parsed:
    """A text file; its title is a Markdown heading or a short first line.

    Raises:
        Unreadable: The content is no text.
    """
    decoded, encoding = decode(source.path.read_bytes())
    text = clean(decoded)
    title = ""
    if source.media_type == "text/markdown" and (heading := _HEADING.search(text)):
        title = (heading[1] or heading[2]).strip()
    if not title:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        title = first if 3 <= len(first) <= 100 and not first.endswith((",", ";")) else ""
    return Parsed(text=text, title=title, meta={"encoding": encoding})
