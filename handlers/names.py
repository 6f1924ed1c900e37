"""People and organisations, told by how they are written: rather missed than imagined."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator

from handlers.found import Found, level
from handlers.given_names import GIVEN_NAMES
from handlers.poi_names import TITLES, key_of, parts, untitled

_CAP = r"(?:(?:Mc|Mac|O['’]|D['’])?[A-ZÀ-Þ][a-zß-ÿ]+(?:-[A-ZÀ-Þ][a-zß-ÿ]+)?)"
_PARTICLE = r"(?:(?:van|von|de|del|della|di|da|du|la|le|bin|al|der|den|ter)[ ]){0,2}"
_INITIALS = r"(?:[A-Z]\.?[ ]){0,2}"
_SAINT = r"(?:(?:St|Ste)\.?[ ])?"
_SAINTS = ("St", "Ste")
_STREET_NUMBER = re.compile(r"\d[ ]$")
_SURNAME = rf"{_SAINT}{_PARTICLE}{_CAP}"
_TAIL = r"(?:,?[ ](?:Jr|Sr)\.?|[ ](?:II|III|IV))?"

_TITLED = re.compile(
    rf"(?<!\w)(?P<title>{TITLES})(?P<stop>\.?)[ ](?:{_CAP}[ ]{_INITIALS})?{_SURNAME}(?![\w])"
)
_SHORT = "Mr Mrs Ms Mx Dr Prof Sen Rep Gov Det Sgt Lt Capt Col Gen Hon Rev"
_SHORT_TITLES = frozenset(_SHORT.split())
"""Titles that take a stop; behind one that is written out it ends a sentence."""

_OF_PEOPLE = frozenset({"Mr", "Mrs", "Ms", "Miss", "Mx", "Dr", "Prof", "Professor"})
"""Titles that stand before nothing but names; “General” and “Judge” begin other phrases, too."""
_LOWER = re.compile(r"(?<![\w-])[a-zß-ÿ]+(?:-[a-zß-ÿ]+)*(?![\w-])")
_SPEAKER = re.compile(
    r"^[ \t]*(?:BY )?(?P<title>MR|MS|MRS|DR|JUDGE|PROFESSOR)\.?[ ]"
    r"(?P<name>[A-Z][A-Z'’-]+(?:[ ][A-Z][A-Z'’-]+)?):",
    re.MULTILINE,
)
# Zero-width, since “Yesterday Ann Orr” must not be read as a person called Yesterday.
_PLAIN = re.compile(
    rf"(?<![\w.@/&-])(?=(?P<whole>(?P<first>{_CAP})[ ]{_INITIALS}{_SURNAME}{_TAIL})(?![\w@&-]))"
)
_INITIALLED = re.compile(rf"(?<![\w.@/&-])(?P<first>{_CAP})[ ](?:[A-Z]\.[ ]){{1,2}}{_SURNAME}(?![\w@&-])")
_HEADER = re.compile(
    r"^[> \t]*(?:From|To|Cc|Bcc|Sent by|Author|Attn|Attention):[ \t]*(?P<list>[^\n]+)", re.MULTILINE
)
_HEADER_NAME = re.compile(
    rf"(?<![\w@.-])(?:(?P<reversed>{_SURNAME},[ ]{_CAP}(?:[ ][A-Z]\.?)?)"
    rf"|(?P<plain>{_CAP}[ ]{_INITIALS}{_SURNAME}))(?=[\"'\s]*(?:<|;|,|\(|\[|@|/|$))"
)
_NOTES = re.compile(
    rf"(?<![\w/])({_CAP}[ ]{_INITIALS}{_SURNAME})(?P<unit>/[A-Z][A-Za-z ]+(?:/[A-Z][A-Za-z]+)*(?:@\w+)?)"
)

_NOT_SURNAMES_TEXT = """
January February March April May June July August September October November December Monday Tuesday
Wednesday Thursday Friday Saturday Sunday Street Avenue Road Boulevard Drive Lane Court County City State
States University College School Institute Department Company Corporation Bank Trust Foundation Association
Committee Commission Council Board Office Exhibit Section Article Chapter Page Table Figure Appendix
Plaintiff Plaintiffs Defendant Defendants Act Agreement Order Motion Report Day Park Hotel Airport Hospital
Island River Lake Valley Beach Bay North South East West The And For With From That This Said Says Will
Would Could Should Did Does Was Were Had Has Inc Llc Llp Corp Ltd Partners Group Holdings Capital
International Management Services Law Project Center Centre General Attorney Work Product Client Privilege
Chief Executive Officer Vice Judge Justice Counsel Secretary Chronicle Tribune Herald Gazette Magazine Hall
House Building Room Press Times Journal Post News Fellow Professor President Dean Director Yes No Not Please
Subject Date Regards Thanks Sincerely Monsieur Dept Contract Contracts He She They We It But If In On At Of To
"""
_NOT_SURNAMES = frozenset(_NOT_SURNAMES_TEXT.split())

_CALLED_AFTER = re.compile(
    r"[ ](?:Memorial|Society|Fellowship|Foundation|Church|Chapel|Ministries|Museum|Library|Hospital"
    r"|Courthouse|Building|School|Prize|Award|Scholarship|Avenue|Boulevard)(?!\w)"
)
"""What stands behind the name of a person after whom something was called, and who is not meant there."""

_AMBIGUOUS = frozenset(
    {
        "Mark",
        "June",
        "Jan",
        "Don",
        "Christian",
        "Jordan",
        "Virginia",
        "Florence",
        "Sandy",
        "Art",
        "Dale",
        "Max",
    }
)
"""Given names that begin other phrases too; at the beginning of a sentence they prove nothing."""

_WORD = r"(?:(?:[A-Z]\.){2,4}|[A-Z][\w&'’-]{0,40}\.?)"
_LINK = r"(?:of|and|&|for|the)"
_ORG_SUFFIX = re.compile(
    rf"(?<![\w@.&'’-])((?:{_WORD}[ ](?:&[ ]|and[ ]|of[ ])?){{1,5}}?{_WORD}?,?[ ]?"
    r"(?:Inc\b\.?|Incorporated\b|L\.L\.C\.|LLC\b|L\.L\.P\.|LLP\b|L\.P\.|Ltd\b\.?|Limited\b|Corp\b\.?|Corporation\b"
    r"|Company\b|Co\.(?=[\s,;)])|PLC\b|plc\b|GmbH\b|S\.A\.|N\.V\.|Bancorp\b))"
)
_ORG_NOUN = re.compile(
    rf"(?<![\w@.&'’-])((?:{_WORD}[ ](?:&[ ]|and[ ]|of[ ])?){{1,5}}?"
    r"(?:Holdings|Foundation|Association|University(?![ ]of)|College|Institute|Commission)\b)"
)
_ORG_HEAD = re.compile(
    rf"(?<![\w@.&'’-])((?:{_WORD}[ ]){{0,3}}?"
    r"(?:University|Department|Bureau|Ministry|Office|Institute|Bank|College)"
    rf"[ ](?:of|for)[ ](?:the[ ])?{_WORD}(?:[ ](?:{_LINK}[ ])?[A-Z][\w&'’-]+){{0,3}})"
)
_LEADING_TEXT = """
The A An In At For On By To Of And Or But If When While As From With Under After Before Our Your His Her
Their This That These Those Shares Copyright Said See Is Was Were Are Did Does Do Has Had Have Not No Yes
Dear Hi Re Fwd Fw Subject
"""
_LEADING = frozenset(_LEADING_TEXT.split())
_WRAPPED = re.compile(r"(?<=[^\n]{45})\n(?=[^\s>*-])")
_BEFORE_PLACES = (
    "San ",
    "Santa ",
    "Saint ",
    "St. ",
    "Los ",
    "Las ",
    "El ",
    "New ",
    "Fort ",
    "Port ",
    "Mount ",
    "Lake ",
)

_DOTTED = ("Inc.", "Corp.", "Co.", "Ltd.", "L.P.", "L.L.C.", "L.L.P.", "S.A.", "N.V.")
_LEGAL = {"incorporated": "inc", "corporation": "corp", "company": "co", "limited": "ltd"}


def people(text: str) -> list[Found]:
    """People; a title with a surname alone is the one person of that surname whom the text names in full."""
    named: list[Found] = []
    flowing = unwrapped(text)
    for header in _HEADER.finditer(text):
        for match in _HEADER_NAME.finditer(text, *header.span("list")):
            group = match.lastgroup or "plain"
            named.extend(_person(text, *match.span(group)))
    noted = list(_NOTES.finditer(text))
    # One that can be nothing else tells that the text has such addresses: “Rank/Rate” alone is none.
    if any(_is_plainly_notes(match["unit"]) for match in noted):
        for match in noted:
            named.extend(_person(text, *match.span(1)))
    for match in _INITIALLED.finditer(flowing):
        if match["first"] not in _LEADING and not _is_place(flowing, match.start()):
            named.extend(_person(text, *match.span()))
    for match in _PLAIN.finditer(flowing):
        if match["first"] not in GIVEN_NAMES or _is_place(flowing, match.start()):
            continue
        if match["first"] not in _AMBIGUOUS or not _begins_sentence(flowing, match.start()):
            named.extend(_person(text, *match.span("whole")))
    by_surname: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one in named:
        by_surname[one.key.rpartition(" ")[2]].add((one.key, one.name))
    titled = [*_titled(flowing, by_surname), *_speakers(text, by_surname)]
    return [*titled, *named]


def organisations(text: str) -> Iterator[Found]:
    """Organisations by their legal form, or as the university, department or office of something."""
    flowing = unwrapped(text)
    for pattern in (_ORG_SUFFIX, _ORG_NOUN, _ORG_HEAD):
        for match in pattern.finditer(flowing):
            start = match.start(1)
            name = match[1]
            first, _, rest = name.partition(" ")
            while rest and (first in _LEADING or len(first.strip(".")) < 2 or first.endswith("-based")):
                start += len(first) + 1
                name = rest
                first, _, rest = name.partition(" ")
            name = name.rstrip(" ,") if name.endswith(_DOTTED) else name.rstrip(" ,.")
            name = name.removesuffix("'s").removesuffix("’s")
            letters = [c for c in name if c.isalpha()]
            short = len(name.split()) < 2
            if short or all(c.isupper() for c in letters):
                continue
            yield Found("organisation", organisation_key(name), name, start, start + len(name))


def organisation_key(name: str) -> str:
    """The normal form of an organisation's name: “Acme, Inc.” and “Acme Incorporated” are one."""
    words = re.sub(r"[^\w& ]", "", level(name)).split()
    return " ".join(_LEGAL.get(word, word) for word in words if word != "the")


def _person(text: str, start: int, end: int) -> Iterator[Found]:
    name = re.sub(r"\s+", " ", text[start:end])
    words = parts(name)
    if len(words) < 2 or len(words) > 4 or any(word in _NOT_SURNAMES for word in words):
        return
    if words[-1] in (*_SAINTS, "Fellowship", "Society") or _CALLED_AFTER.match(text, end):
        return
    if words[-2] in _SAINTS and _STREET_NUMBER.search(text[max(0, start - 8) : start]):
        return
    last, comma, first = name.partition(", ")
    shown = f"{first} {last}" if comma and not first.startswith(("Jr", "Sr")) else name
    yield Found("person", key_of(name), shown, start, end)


def _is_plainly_notes(unit: str) -> bool:
    """Whether what stands behind a name is the rest of a Notes address and can be no label of a form."""
    return unit.split()[0].isupper() or len(unit.split("/")) > 2 or "@" in unit


def _titled(text: str, by_surname: dict[str, set[tuple[str, str]]]) -> Iterator[Found]:
    lower = frozenset(_LOWER.findall(text))
    for match in _TITLED.finditer(text):
        words = parts(match.group())
        if any(word in _NOT_SURNAMES for word in words) or words[-1] in _SAINTS:
            continue
        if not _is_title(match, lower):
            continue
        shown = match.group()
        if len(words) == 2 and words[0] in _SAINTS:
            words = [" ".join(words)]
        elif len(words) > 1:
            shown = untitled(shown)
            by_surname[level(words[-1])].add((key_of(shown), shown))
        yield _by_surname(words, shown, by_surname, *match.span())


def _is_title(match: re.Match[str], lower: Collection[str]) -> bool:
    """Whether a title begins a name: “General Comments” is none where the text knows comments, too.

    Args:
        lower: The words of the text that it writes in lower case.
    """
    title = match["title"]
    if match["stop"] and title not in _SHORT_TITLES:
        return False
    return title in _OF_PEOPLE or match.group().rpartition(" ")[2].lower() not in lower


def _speakers(text: str, by_surname: dict[str, set[tuple[str, str]]]) -> Iterator[Found]:
    for match in _SPEAKER.finditer(text):
        name = match["name"].title().replace("'S", "'s")
        shown = f"{match['title'].capitalize()}{'.' if len(match['title']) < 4 else ''} {name}"
        yield _by_surname(name.split(), shown, by_surname, *match.span("name"))


def _by_surname(
    words: list[str], shown: str, by_surname: dict[str, set[tuple[str, str]]], start: int, end: int
) -> Found:
    full = by_surname.get(level(words[-1].rpartition(" ")[2]), set())
    keys = {key for key, _ in full}
    if len(words) == 1 and len(keys) == 1:
        key, name = min(full)
        return Found("person", key, name, start, end)
    return Found("person", level(" ".join(words)), shown, start, end)


def unwrapped(text: str) -> str:
    """The text with line ends inside paragraphs as spaces; every place stays what it is.

    Only a long line is taken for wrapped: short ones are headings, addresses and signatures.
    """
    return _WRAPPED.sub(" ", text)


def _is_place(text: str, start: int) -> bool:
    """Whether what looks like a given name is the second word of a place, as in San Francisco."""
    return text[max(0, start - 7) : start].endswith(_BEFORE_PLACES)


def _begins_sentence(text: str, start: int) -> bool:
    before = text[:start][-4:].rstrip(" \"'“(")
    return not before or before[-1] in ".!?:\n"
