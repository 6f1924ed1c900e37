"""What a camera wrote into a picture: when, where, with what."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from handlers.parsing.parsed import clean

_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-]\d\d:\d\d|Z")
_Base, _GPS = ExifTags.Base, ExifTags.GPS


def camera_facts(picture: Image.Image) -> dict[str, Any]:
    """The facts under the names of `Parsed.meta`; those that a picture does not tell are left out.

    `taken_at` has an offset only where the camera knew it. Where the clock of the camera is not told, the
    time of the satellites is.
    """
    exif = picture.getexif()
    detail: Mapping[int, Any] = exif.get_ifd(ExifTags.IFD.Exif)
    gps: Mapping[int, Any] = exif.get_ifd(ExifTags.IFD.GPSInfo)
    facts: dict[str, Any] = {
        "taken_at": _taken_at(exif, detail) or _satellite_time(gps),
        "place": _place(gps),
        "camera": _camera(exif),
        "author": _text(exif.get(_Base.Artist)),
        "software": _text(exif.get(_Base.Software)),
        "copyright": _text(exif.get(_Base.Copyright)),
        "description": _text(exif.get(_Base.ImageDescription)),
    }
    return {name: value for name, value in facts.items() if value}


def _taken_at(exif: Mapping[int, Any], detail: Mapping[int, Any]) -> str:
    for values, when, offset in (
        (detail, _Base.DateTimeOriginal, _Base.OffsetTimeOriginal),
        (detail, _Base.DateTimeDigitized, _Base.OffsetTimeDigitized),
        (exif, _Base.DateTime, None),
    ):
        if found := _TIME.match(_text(values.get(when))):
            zone = _OFFSET.fullmatch(_text(detail.get(offset))) if offset is not None else None
            if moment := _moment(*(int(part) for part in found.groups())):
                return moment + (zone[0].replace("Z", "+00:00") if zone else "")
    return ""


def _satellite_time(gps: Mapping[int, Any]) -> str:
    day = re.match(r"(\d{4}):(\d\d):(\d\d)", _text(gps.get(_GPS.GPSDateStamp)))
    parts = _numbers(gps.get(_GPS.GPSTimeStamp))
    if day is None or len(parts) != 3:
        return ""
    moment = _moment(*(int(part) for part in day.groups()), *(int(part) for part in parts))
    return f"{moment}+00:00" if moment else ""


def _moment(*parts: int) -> str:
    try:
        return datetime(*parts).isoformat()  # type: ignore[arg-type]
    except ValueError:
        return ""


def _place(gps: Mapping[int, Any]) -> dict[str, float] | None:
    lat = _angle(gps.get(_GPS.GPSLatitude), _text(gps.get(_GPS.GPSLatitudeRef)), "S")
    lon = _angle(gps.get(_GPS.GPSLongitude), _text(gps.get(_GPS.GPSLongitudeRef)), "W")
    # Receivers without a signal write zeros.
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180 or lat == lon == 0:
        return None
    return {"lat": round(lat, 6), "lon": round(lon, 6)}


def _angle(value: Any, side: str, negative: str) -> float | None:
    parts = _numbers(value)
    if len(parts) != 3:
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    return -degrees if side.upper().startswith(negative) else degrees


def _numbers(value: Any) -> list[float]:
    """Numbers of a tag; none where one of them is no number, such as a fraction of zero."""
    if not isinstance(value, (tuple, list)):
        return []
    try:
        numbers = [float(part) for part in value]
    except (TypeError, ValueError, ZeroDivisionError):
        return []
    return numbers if all(math.isfinite(number) for number in numbers) else []


def _camera(exif: Mapping[int, Any]) -> str:
    make, model = _text(exif.get(_Base.Make)), _text(exif.get(_Base.Model))
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return " ".join(clean(value).split())[:500] if isinstance(value, str) else ""
