"""Mail addresses, phone numbers, dates and amounts of money, each with a normal form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from handlers.found import Found

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
_PHONE = re.compile(
    r"(?<![\w.,/$-])(?:(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-.]\d{4}"
    r"|\+[2-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,5})(?![\w-])(?!\.\d)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{0}>Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?|July?|Aug(?:ust|\.)?"
    r"|Sep(?:t(?:ember|\.)?|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?)"
)
_DAY = r"(?P<{0}>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<{0}>(?:1[89]|20)\d\d)"
_DATE = re.compile(
    r"(?<![\w/-])(?:"
    + r"|".join(
        (
            _MONTH.format("m1") + r"\s+" + _DAY.format("d1") + r",?\s+" + _YEAR.format("y1"),
            _DAY.format("d2")
            + r"\s+(?:day\s+of\s+|of\s+)?"
            + _MONTH.format("m2")
            + r",?\s+"
            + _YEAR.format("y2"),
            _YEAR.format("y3") + r"-(?P<m3>[01]\d)-(?P<d3>[0-3]\d)",
            r"(?P<m4>[0-3]?\d)/(?P<d4>[0-3]?\d)/" + _YEAR.format("y4"),
            _MONTH.format("m5") + r",?\s+" + _YEAR.format("y5"),
            r"(?P<m6>[0-3]?\d)/(?P<d6>[0-3]?\d)/(?P<y6>\d\d)",
            r"(?<!\.)(?P<d7>[0-3]?\d)\.[ ]?(?P<m7>[01]?\d)\.[ ]?" + _YEAR.format("y7") + r"(?!\.\d)",
        )
    )
    + r")(?![\w/-])",
)
_SCALES = {
    "thousand": 3,
    "k": 3,
    "million": 6,
    "m": 6,
    "mm": 6,
    "mn": 6,
    "billion": 9,
    "b": 9,
    "bn": 9,
    "trillion": 12,
}
_SIGNS = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "pounds": "GBP",
}  # fmt: skip
_NUMBER = r"(?P<{0}>\d{{1,3}}(?:,\d{{3}})+(?:\.\d{{1,2}})?|\d+(?:\.\d{{1,3}})?)"
_SCALE = r"(?P<{0}>thousand|million|billion|trillion|mm|mn|bn|[kmb])"
_MONEY = re.compile(
    r"(?<![\w$])(?:"
    r"(?P<sign>US\$|\$|€|£|USD\s|EUR\s|GBP\s)\s?"
    + _NUMBER.format("n1") + r"(?:\s?-?" + _SCALE.format("s1") + r"\b)?"
    + r"|"
    + _NUMBER.format("n2") + r"(?:\s" + _SCALE.format("s2") + r")?"
    + r"\s(?P<unit>dollars|euros|pounds|USD|EUR|GBP)\b"
    + r")(?![\w$])",
    re.IGNORECASE,
)  # fmt: skip


def addresses(text: str) -> Iterator[Found]:
    """Mail addresses; the key is in lower case."""
    for match in _EMAIL.finditer(text):
        yield Found("email", match.group().lower(), match.group(), *match.span())


def phones(text: str) -> Iterator[Found]:
    """Phone numbers of North America or with a country code; the key is `+` and digits."""
    for match in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if len(digits) == 10:
            digits = f"1{digits}"
        if 9 <= len(digits) <= 15:
            yield Found("phone", f"+{digits}", match.group(), *match.span())


def dates(text: str) -> Iterator[Found]:
    """Dates with a year; the key is `2001-06-04`, or `2001-06` where no day is given.

    In `6/4/2001` and `6/4/01` the month comes first, as in American papers, unless it cannot; in `4.6.2001`
    the day.
    """
    for match in _DATE.finditer(text):
        key = _iso(match)
        if key:
            yield Found("date", key, re.sub(r"\s+", " ", match.group()), *match.span())


def amounts(text: str) -> Iterator[Found]:
    """Amounts of money in dollars, euros or pounds; the key is `USD 1250000`."""
    for match in _MONEY.finditer(text):
        number = Decimal((match["n1"] or match["n2"]).replace(",", ""))
        scale = (match["s1"] or match["s2"] or "").lower()
        currency = _SIGNS[(match["sign"] or match["unit"]).strip().lower()]
        value = number.scaleb(_SCALES[scale]) if scale else number
        plain = f"{value:f}"
        plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
        yield Found("money", f"{currency} {plain}", re.sub(r"\s+", " ", match.group()), *match.span())


def _year(written: str) -> int:
    """Of two figures, a year from 1950 to 2049."""
    year = int(written)
    return year if len(written) == 4 else year + (1900 if year >= 50 else 2000)


def _iso(match: re.Match[str]) -> str:
    group = match.groupdict()
    for i in "1234567":
        if group[f"y{i}"] is None:
            continue
        year, month, day = _year(group[f"y{i}"]), group[f"m{i}"], group.get(f"d{i}")
        number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
        if day is None:
            return f"{year}-{number:02}"
        if number > 12 and int(day) <= 12:
            number, day = int(day), month
        try:
            return date(year, number, int(day)).isoformat()
        except ValueError:
            return ""
    raise AssertionError("one of the forms has matched")
