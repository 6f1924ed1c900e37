"""Tags: what sort of document it is, and the terms that set it apart from the rest of its case."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handlers.job import Job, Permanent
from handlers.terms import normal, tokens
from machines.upload_events import TagEvidence, Tagged
from storage.evidence import EvidenceRow, EvidenceStore, UnknownEvidence
from storage.words import Words

TAGGER_VERSION = 2
"""Raised whenever other tags would be found: what an earlier one has tagged is tagged again, by and by."""

TERMS = 6
"""Distinctive terms that become tags."""
CANDIDATES = 200
"""Most frequent terms whose frequency in the case is asked for."""
SHORT = 300
"""Terms of a text below which a single occurrence may be distinctive."""

_LEAST_SURE, _MOST_SURE = 0.35, 0.9
"""Of a distinctive term that occurs thrice: one that has just made it, one that nothing comes near."""

_HEAD = 3000

_DULL_TEXT = """
said say think know go get like please thanks thank attached attachment page exhibit question answer yes mr
ms mrs dr honor one two three four five first second third new make made take time year day month week would
call look see tell told ask want need work use thing way people person good well right also back come let
may might must much many part number follow following subject sent forwarded original message email mail com
www http https org net edu gov regards best dear sincerely hello shall herein hereof thereof hereby however
therefore otherwise respect pursuant any per etc jan feb mar apr jun jul aug sep oct nov dec january
february march april june july august september october november december monday tuesday wednesday thursday
friday saturday sunday esquire esq llp llc inc corp ltd tel fax phone cc bcc re fw fwd am pm pt est edt pdt
pst actually really correct okay fact kind point something anything someone whether going
"""
_COMPANY_FORMS = """
incorporated corporation company companies limited plc gmbh mbh kgaa sarl pty pte bhd sdn oyj kft zrt eood
"""
_DULL = frozenset(map(normal, (_DULL_TEXT + _COMPANY_FORMS).split()))

_CODES_TEXT = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
CDF CHF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF
GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK
LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR
PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP
SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
DEM FRF ITL ESP NLG ATS BEF FIM GRD PTE IEP
SpA SPA SAS SRL Srl ASA ApS OOD DOO
"""
_CODES = frozenset(_CODES_TEXT.split())
"""What is dull only as it is written here: codes of currencies (ISO 4217, and those that the euro replaced)
and forms of companies; written otherwise, a cup and a spa are words."""

_SPEECH = re.compile(
    r"^[ \t]*(?:Q\.|A\.|THE (?:COURT|WITNESS|CLERK):|(?:MR|MS|MRS|DR)\. [A-Z'’-]+:)", re.MULTILINE
)
_CLOSE = r"(?:Sincerely|Yours|Very truly|Respectfully|Best regards|Kind regards)"
_COURTS = r"(?:district|supreme|superior|bankruptcy|appellate) court|court of appeals?"
_RULES = (
    (
        "agreement",
        r"(?is)\b(?:agreement|contract|lease)\b.*?\b(?:whereas|hereby|hereinafter|the parties)\b",
        0.75,
    ),
    (
        "memorandum",
        r"(?i)^\W*(?:(?:confidential|privileged)\W+)*(?:inter-?office\s+)?memo(?:randum)?\b",
        0.95,
    ),
    ("letter", rf"(?sm)^[ \t]*Dear\s[^\n]{{1,80}}[,:][ \t]*$.*?^[ \t]*{_CLOSE}", 0.9),
    ("court filing", rf"(?i)\b(?:{_COURTS})\b", 0.7),
    ("brief", r"(?i)\bbrief\s+(?:of|for|in)\b|\bamic(?:us|i)\s+curiae\b", 0.65),
    ("order", r"(?m)^\s*(?:(?:OPINION|MEMORANDUM) AND )?ORDER\s*$", 0.9),
    ("invoice", r"(?i)\binvoice\s*(?:no|number|#|date)\b", 0.85),
    ("minutes", r"(?is)\bminutes of (?:the|a)\b.{0,80}\bmeeting\b", 0.9),
    ("report", r"(?i)^\W*(?:[A-Z][\w'’-]*\s+){0,6}report\b", 0.65),
    ("press release", r"(?i)\b(?:for immediate release|press release)\b", 0.95),
)
_FORMS = tuple((name, re.compile(pattern), sure) for name, pattern, sure in _RULES)
FORMS = frozenset({"email", "transcript", "exhibit", *(name for name, *_ in _RULES)})
"""Tags that tell what sort of document it is; all others are terms of it."""

_EXHIBIT = re.compile(
    r"^\W*(?:(?:plaintiff|defendant|government|trial|joint)\S*\s+)?exhibit\s+[\w.-]{1,8}\b", re.IGNORECASE
)
_EXHIBIT_NAME = re.compile(r"^(?:P|D|PX|DX|GX|JX|Ex|Exhibit)[-_ ]?\d{1,4}\b", re.IGNORECASE)


async def tag_evidence(effect: TagEvidence, job: Job, *, evidence: EvidenceStore, words: Words) -> Tagged:
    """Choose tags by rule and by tf-idf within the case, and store them with how sure they are.

    Raises:
        Permanent: The evidence is gone.
    """
    try:
        row = await evidence.get(effect.evidence)
        text = await evidence.text(row.id)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    confidence = await tags_of(row, text, words=words)
    await job.check()
    await evidence.set_tags(row.id, list(confidence), confidence=confidence, tagger=TAGGER_VERSION)
    return Tagged(effect=job.id, tags=list(confidence))


async def tags_of(row: EvidenceRow, text: str, *, words: Words) -> dict[str, float]:
    """The tags of a text in the order in which they are shown, each with how sure they are, 0 to 1."""
    profile = await asyncio.to_thread(Profile.of, body_of(row, text))
    indexed, frequencies = await words.frequencies(row.case_id, list(profile.counts), besides=row.id)
    tags = kinds(row, text)
    found = profile.distinctive(indexed, frequencies)
    return tags | {term: sure for term, sure in found.items() if term.lower() not in tags}


def kinds(row: EvidenceRow, text: str) -> dict[str, float]:
    """What sort of document it is, as far as its form tells, and how sure that form is."""
    if row.media_type == "message/rfc822":
        return {"email": 1.0}
    head = text[:_HEAD]
    found = {name: sure for name, pattern, sure in _FORMS if pattern.search(head)}
    if len(_SPEECH.findall(text)) >= 20:
        found = {"transcript": 0.95} | {name: sure for name, sure in found.items() if name == "court filing"}
    if _EXHIBIT.match(head) or _EXHIBIT_NAME.match(row.filename):
        found["exhibit"] = 0.9 if _EXHIBIT.match(head) else 0.75
    return found


def body_of(row: EvidenceRow, text: str) -> str:
    """The text without a mail's header lines, whose names and addresses set nothing apart."""
    if row.media_type != "message/rfc822":
        return text
    return f"{row.meta.get('subject', '')}\n\n{text.partition(chr(10) * 2)[2]}"


@dataclass(frozen=True)
class Profile:
    """How often a text holds its commonest terms, in how many of its pieces, and how it writes them."""

    counts: Mapping[str, int]
    spread: Mapping[str, int]
    surfaces: Mapping[str, str]
    pieces: int

    @classmethod
    def of(cls, text: str, *, piece: int = 1000) -> Profile:
        """Count a text, its spread over pieces of `piece` characters."""
        counts: Counter[str] = Counter()
        seen: dict[str, set[int]] = defaultdict(set)
        written: dict[str, Counter[str]] = defaultdict(Counter)
        for term, start, end in tokens(text):
            counts[term] += 1
            surface = text[start:end]
            if (
                len(term) < 3
                or term in _DULL
                or surface in _CODES
                or not surface.replace("'", "").replace("’", "").isalpha()
            ):
                continue
            seen[term].add(start // piece)
            written[term][surface.removesuffix("'s").removesuffix("’s")] += 1
        least = 1 if sum(counts.values()) < SHORT else 2
        common = sorted((t for t in seen if counts[t] >= least), key=lambda t: (-counts[t], t))[:CANDIDATES]
        return cls(
            counts={term: counts[term] for term in common},
            spread={term: len(seen[term]) for term in common},
            surfaces={term: _surface(written[term]) for term in common},
            pieces=max(1, -(-len(text) // piece)),
        )

    def distinctive(self, indexed: int, frequencies: Mapping[str, int]) -> dict[str, float]:
        """The terms of highest tf-idf as they are written, given how many other chunks hold them, each with
        how sure it is: by how far it is above the first that is left out, less where it occurs but once."""

        def score(term: str) -> float:
            everywhere = frequencies.get(term, 0) + self.spread[term]
            rarity = math.log(1 + (indexed + self.pieces) / everywhere)
            named = 1.5 if self.surfaces[term][0].isupper() else 1.0
            return (1 + math.log(self.counts[term])) * rarity * named

        scores = {term: score(term) for term in self.counts}
        ranked = sorted(scores, key=lambda term: (-scores[term], term))
        beyond = scores[ranked[TERMS]] if len(ranked) > TERMS else 0.0
        return {
            self.surfaces[term]: _sure(1 - beyond / scores[term], self.counts[term])
            for term in ranked[:TERMS]
        }


def _sure(margin: float, count: int) -> float:
    """How sure a term is, by the share of its score that sets it apart from those left out, 0 to 1."""
    often = min(1.0, (1 + count) / 4)
    return round((_LEAST_SURE + (_MOST_SURE - _LEAST_SURE) * math.sqrt(max(0.0, margin))) * often, 2)


def _surface(written: Mapping[str, int]) -> str:
    """The commonest spelling; capital letters stay only where the word is nearly always written so."""
    total = sum(written.values())
    lower = sum(n for surface, n in written.items() if surface[0].islower())
    spellings: Sequence[str] = sorted(written, key=lambda s: (-written[s], s))
    if lower > 0.2 * total:
        return next(s for s in spellings if s[0].islower())
    mixed = [s for s in spellings if not s.isupper()]
    if mixed:
        return mixed[0]
    # Short words in capitals alone are abbreviations, long ones come from headings.
    return spellings[0] if len(spellings[0]) <= 5 else spellings[0].capitalize()
