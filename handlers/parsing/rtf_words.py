"""The words of RTF: a stream of groups, control words, text and binary data.

Source: Microsoft, Rich Text Format Specification, version 1.9.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

_WORD = re.compile(
    rb"\\(?:(?P<word>[a-zA-Z]{1,40})(?P<number>-?\d{1,10})?[ ]?"
    rb"|'(?P<hex>[0-9a-fA-F]{2})|(?P<symbol>[^a-zA-Z]))"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)

Sort = Literal["open", "close", "word", "bytes"]


class Token(NamedTuple):
    """A `word` with its number, if it has one; a brace; or `bytes` of text in the current code page."""

    sort: Sort
    word: str = ""
    number: int | None = None
    content: bytes = b""


def tokens(content: bytes) -> Iterator[Token]:
    """The tokens in order; what `\\bin` announces comes as the content of that word."""
    at = 0
    while found := _WORD.match(content, at):
        at = found.end()
        match found.lastgroup:
            case "text":
                yield Token("bytes", content=found["text"])
            case "hex":
                yield Token("bytes", content=bytes([int(found["hex"], 16)]))
            case "brace":
                yield Token("open" if found["brace"] == b"{" else "close")
            case "symbol":
                yield Token("word", found["symbol"].decode("latin-1"))
            case "word" | "number":
                number = int(found["number"]) if found["number"] else None
                word = found["word"].decode("ascii")
                if word == "bin" and number and number > 0:
                    yield Token("word", word, number, content[at : at + number])
                    at += number
                else:
                    yield Token("word", word, number)


CHARSETS = {0: "cp1252", 1: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk",
            136: "big5", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186:
            "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850"}  # fmt: skip
"""Code pages by the character set of a font."""

SYMBOLS = {
    "par": "\n", "sect": "\n", "page": "\n", "tab": "\t", "~": "\u00a0", "_": "-", "-": "",
    "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”",
    "bullet": "•", "emspace": " ", "enspace": " ", "qmspace": " ",
    "\\": "\\", "{": "{", "}": "}", "\n": "\n", "\r": "\n", "zwj": "\u200d", "zwnj": "\u200c",
}  # fmt: skip
"""Words that stand for characters."""


def codec(page: int) -> str:
    """The name of a code page."""
    return {0: "cp1252", 10000: "mac_roman", 65001: "utf-8", 708: "iso8859_6", 42: "cp1252"}.get(
        page, f"cp{page}"
    )
