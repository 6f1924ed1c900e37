"""Numbers of a spreadsheet as its cells show them; dates in ISO form, which is the same everywhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: "$#,##0", 6: "$#,##0", 7: "$#,##0.00", 8: "$#,##0.00",
    9: "0%", 10: "0.00%", 11: "0.00E+00", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy",
    18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 41: "#,##0", 42: "$#,##0", 43: "#,##0.00",
    44: "$#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss", 48: "0.0E+0", 49: "@",
} | dict.fromkeys([*range(27, 37), *range(50, 59)], "yyyy-mm-dd")  # fmt: skip
"""Formats that a workbook names by number only."""

_LITERAL = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)[^\]]*\]|\[(?:[A-Z][a-z]*|Color ?\d+|[<>=][^\]]*)\]', re.I
)
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_DATE = re.compile(r"[ymdhs]|AM/PM|A/P", re.IGNORECASE)
_DIGITS = re.compile(r"[0#?][0#?,.]*")
_MOST_SERIAL = 2_958_466
"""The day after 9999-12-31."""

Sort = Literal["general", "date", "time", "moment", "elapsed", "percent", "exponent", "fixed", "text"]


class Format(NamedTuple):
    """What a format makes of numbers."""

    sort: Sort
    decimals: int = 0
    grouped: bool = False
    before: str = ""
    after: str = ""
    least: int = 0


@lru_cache(maxsize=1 << 12)
def understood(code: str) -> Format:
    """A format code, as far as it matters to a reader: its first section, without colours.

    >>> understood('"EUR" #,##0.00;[Red]-#,##0.00')
    Format(sort='fixed', decimals=2, grouped=True, before='EUR ', after='', least=1)
    """
    section = code.split(";")[0]
    if not section or section.lower() in ("general", "standard", "@"):
        return Format("text" if section == "@" else "general")
    if _ELAPSED.search(section):
        return Format("elapsed")
    bare = _LITERAL.sub("", section)
    if _DATE.search(bare.replace("General", "")) and not re.search(r"[0#?]%|[0#]E[+-]", bare):
        low = bare.lower()
        clock = "h" in low or "s" in low
        calendar = "y" in low or "d" in low or ("m" in low and not clock)
        return Format("moment" if clock and calendar else "time" if clock else "date")
    digits = _DIGITS.search(bare)
    if digits is None or "/" in bare:
        return Format("general")
    whole, _, part = digits.group().rstrip(",").partition(".")
    decimals = sum(c in "0#?" for c in part)
    if re.search(r"[0#?]E[+-]", bare, re.IGNORECASE):
        return Format("exponent", decimals)
    shown = _LITERAL.sub(lambda found: found[1] or found[2] or found[3] or "", section)
    start = _DIGITS.search(shown)
    before, after = (shown[: start.start()], shown[start.end() :]) if start else ("", "")
    sort: Sort = "percent" if "%" in bare else "fixed"
    if digits.group().endswith(","):
        # Numbers shown in thousands or millions are written in full.
        return Format("general")
    return Format(
        sort, decimals, "," in whole, before.lstrip(), after.replace("%", "").rstrip(), whole.count("0")
    )


def shown(value: float, code: str, *, from_1904: bool = False) -> str:
    """A number as a cell of this format shows it.

    >>> shown(1234.5, "#,##0.00"), shown(0.125, "0.0%"), shown(36892, "d/m/yy"), shown(0.5, "h:mm")
    ('1,234.50', '12.5%', '2001-01-01', '12:00')
    """
    form = understood(code)
    match form.sort:
        case "date" | "moment" | "time":
            return moment(value, form.sort, from_1904=from_1904) or general(value)
        case "elapsed":
            seconds = round(value * 86_400)
            sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
            return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        case "percent":
            return f"{form.before}{value * 100:{',' if form.grouped else ''}.{form.decimals}f}%{form.after}"
        case "exponent":
            return f"{value:.{form.decimals}E}"
        case "fixed" if abs(value) < 1e15:
            number = f"{abs(value):{',' if form.grouped else ''}.{form.decimals}f}"
            if form.least > 1 and not form.grouped:
                width = form.least + (form.decimals + 1 if form.decimals else 0)
                number = f"{abs(value):0{width}.{form.decimals}f}"
            sign = "-" if value < 0 and any(c in "123456789" for c in number) else ""
            return f"{sign}{form.before}{number}{form.after}"
    return general(value)


def general(value: float) -> str:
    """A number without a format, in as many digits as a spreadsheet keeps.

    >>> general(3.0), general(0.1 + 0.2)
    ('3', '0.3')
    """
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"


def moment(value: float, sort: str, *, from_1904: bool) -> str:
    """A serial number of days as date, time or both; "" for one that is no date."""
    if not 0 <= value < _MOST_SERIAL:
        return ""
    if value < 1 and sort != "date" and not from_1904:
        sort = "time"
    if from_1904:
        begin = datetime(1904, 1, 1)
    else:
        # Day 60 is the 29 February 1900 that never was.
        begin = datetime(1899, 12, 31) if value < 60 else datetime(1899, 12, 30)
    at = begin + timedelta(seconds=round(value * 86_400))
    clock = at.strftime("%H:%M:%S") if at.second else at.strftime("%H:%M")
    if sort == "time" and value < 1:
        return clock
    day = at.strftime("%Y-%m-%d") if at.year >= 1000 else at.isoformat()[:10]
    return day if sort == "date" and not (at.hour or at.minute or at.second) else f"{day} {clock}"
