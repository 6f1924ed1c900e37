"""A follow-up turned by rule into a question that stands by itself.

What needs no resolving comes back as None, so that it is searched byte for byte as it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from handlers.pronouns import HE, SHE, Spoken
from handlers.said import Finder, Focus, Mention, Said, Topic, asks_who, focus_of
from handlers.terms import fold
from machines.query_parts import Understood

LONGEST = 600
"""Characters of what is understood; a longer one is no question any more."""

_LEAD = re.compile(r"^\s*(?:(?:and|but|so|ok|okay|also|then|now)\b[,\s]+)+", re.IGNORECASE)
_SLOT = re.compile(
    r"^\s*(?:(?:and|but|so|ok|okay|then)\b[,\s]+)?(?:what|how)\s+about\s+(?P<what>.+?)\s*[?.!]*\s*$"
    r"|^\s*and\s+(?P<bare>(?:(?:for|in|on|at|to|with|by|from|during|after|before|of)\s+)?[^?.!]+?)\s*[?.!]*\s*$",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(
    r"^(?:for|in|on|at|to|with|by|from|during|after|before|of|since|until)\s+", re.IGNORECASE
)
_BEFORE_DATE = re.compile(r"\b(?:in|on|at|during|since|until|of)\s+$", re.IGNORECASE)
_BARE = re.compile(
    r"^(?:(?P<wh>when|where|why|how|who|who else|what else|how much|how many|by whom|to whom|with whom|whom"
    r"|for whom|since when|until when|how come|how often|how long|what for|really|are you sure|where exactly"
    r"|when exactly)"
    r"(?:\s+(?:was|is|did|were|does|has)\s+(?:that|this|it)(?:\s+(?:happen|take place|been|be))?)?"
    r"|(?P<more>tell me more|go on|more|more details?|details?|explain(?: that)?|elaborate|continue))"
    r"\s*[?.!]*$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“„«][^\"“”„«»]{0,300}[\"”“»]")
_TOKEN = re.compile(r"[^\W_]+")

_LEMMA = {
    word: words.split()[0]
    for words in ("they them their theirs themselves", "it its itself")
    for word in words.split()
}
_LEMMA |= dict.fromkeys(HE, "he") | dict.fromkeys(SHE, "she")
_OWN = frozenset({"his", "their", "theirs", "hers", "its"})
_DETERMINERS = frozenset({"the", "that", "this", "those", "these", "same"})
_POINTING = frozenset({"that", "this", "those", "these", "same"})
_KINDS: dict[Topic, str] = {
    "organisation": "company firm organisation organization agency bank corporation business",
    "person": "man woman person suspect witness guy lady gentleman",
    "date": "day date month year week time",
    "document": "document email mail letter memo report contract agreement file statement",
}
_NOUNS = {noun: topic for topic, nouns in _KINDS.items() for noun in nouns.split()}
_AROUND = "is was were are be did does do about of for after before by from with to on at in like"
_BEFORE = f"{_AROUND} than and but why when how who what where whom doing done"
_BEFORE_THAT = frozenset(_BEFORE.split())
_AFTER = "is was were has had did does do happen happened mean means cost come came say said"
_VERBS_AFTER = frozenset(_AFTER.split())
_SURELY = "true possible likely clear known raining said correct fair certain legal illegal usual"
_PLEONASTIC = re.compile(
    rf"^\s*(?:(?:is|was|be|would be|might be|may be|seems?)\s+(?:\w+\s+)?(?:{'|'.join(_SURELY.split())})\b"
    rf"|(?:{'|'.join(_SURELY.split())}|the case)\s+(?:that|to|for|if|whether)\b)",
    re.IGNORECASE,
)
_THERE_IS = frozenset({"is", "are", "was", "were", "be", "been"})
_YEAR = re.compile(r"\b(?:1[89]|20)\d\d\b")
_MONTH_ALONE = re.compile(r"^[A-Z][a-z]+(?: (?:1[89]|20)\d\d)?$")


@dataclass
class _Resolving:
    """One question on its way: what was put in, what still leans on the last question."""

    question: str
    said: Sequence[Said]
    finder: Finder
    own: list[Mention]
    spoken: Mapping[str, Spoken] = field(default_factory=dict)
    evidence: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    unsure: dict[str, list[str]] = field(default_factory=dict)
    chosen: dict[str, list[Focus]] = field(default_factory=dict)
    leans: bool = False

    def antecedents(self, topic: Topic) -> list[Focus]:
        """What may be meant, of the latest turn that names any; not what the question names itself."""
        named = {mention.key for mention in self.own}
        taken = {fold(one.text) for found in self.chosen.values() for one in found if one.topic == "person"}
        for turn in reversed(self.said):
            found = [one for one in focus_of(turn, topic, self.finder) if fold(one.text) not in named]
            if topic == "person":
                found = [one for one in found if fold(one.text) not in taken] or found
            if found:
                return found
        return []

    def take(self, word: str, found: list[Focus]) -> str:
        """Note what a word stands for, and say it."""
        self.chosen[word] = found
        for one in found:
            self.evidence.update(one.evidence)
        texts = list(dict.fromkeys(one.text for one in found))
        return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def needs_resolving(question: str) -> bool:
    """Whether anything in a question may lean on what was said before; cheap, and rather yes than no."""
    plain = _QUOTED.sub(lambda match: " " * len(match.group()), question)
    words = {word.group().lower() for word in _TOKEN.finditer(plain)}
    return bool(
        words & (_LEMMA.keys() | _POINTING | {"there", "then", "else", "more"})
        or (words & _NOUNS.keys() and "the" in words)
        or _LEAD.match(question)
        or _SLOT.match(question)
        or _BARE.match(question.strip())
    )


def is_about_one(question: str) -> bool:
    """Whether a question has a pronoun for one man or woman."""
    return not {word.group().lower() for word in _TOKEN.finditer(question)}.isdisjoint(HE | SHE)


def understand(
    question: str, said: Sequence[Said], finder: Finder, spoken: Mapping[str, Spoken] | None = None
) -> Understood | None:
    """What a follow-up means by itself, or None where it says so already, or nothing tells.

    “He” and “she” are never one person. Whoever is taken for either although somebody else may be meant
    is told in the note; where that would be a guess, nobody is taken, and the note asks.

    Args:
        said: The earlier turns, oldest first.
        spoken: Folded name of a person → how the case speaks of them, where it tells.
    """
    if not said or not needs_resolving(question):
        return None
    work = _Resolving(question, said, finder, finder.mentions(question), spoken or {})
    text = _bare(work) or _slot(work) or _substituted(work)
    if text is None or len(text) > LONGEST or text == question:
        return None
    notes = list(dict.fromkeys(work.notes))
    for people, said_so in work.unsure.items():
        notes.append(f"{' and '.join(dict.fromkeys(said_so))} may be {people}: name whom you mean")
    return Understood(text=text, way="rules", evidence=sorted(work.evidence), note="; ".join(notes))


def _bare(work: _Resolving) -> str | None:
    """“When was that?” and “why?” ask about the last question as a whole."""
    match = _BARE.match(_LEAD.sub("", work.question).strip())
    if match is None:
        return None
    base = _base(work)
    if match["more"]:
        return f"{base}?"
    asked = match.group().rstrip(" ?.!")
    return f"{asked[0].upper()}{asked[1:]}: {base[0].lower() if _is_plain(base) else base[0]}{base[1:]}?"


def _slot(work: _Resolving) -> str | None:
    """“What about March?” asks the last question again with something else in one place."""
    match = _SLOT.match(work.question)
    if match is None:
        return None
    what = match["what"] or match["bare"]
    named = [mention for mention in work.finder.mentions(what) if mention.topic != "document"]
    bare = _PREPOSITION.sub("", what).strip()
    if match["bare"] is not None and not (len(named) == 1 and _covers(named[0], what, bare)):
        return None  # “and who paid him?” is a sentence of its own
    inner = _Resolving(what, work.said, work.finder, named, work.spoken, notes=work.notes, unsure=work.unsure)
    replaced = _pronouns(inner)
    if replaced != what:
        what = bare = replaced
        work.evidence |= inner.evidence
        named = work.finder.mentions(what)
    base = work.said[-1].question.strip().rstrip(" ?.!")
    work.evidence.update(work.said[-1].evidence)
    if len(named) == 1 and _covers(named[0], what, bare):
        same = [mention for mention in work.finder.mentions(base) if mention.topic == named[0].topic]
        if same:
            return f"{_exchanged(base, same[-1], named[0].text)}?"
    return f"{base}, {what}?" if _PREPOSITION.match(what) else f"{base}: {what}?"


def _exchanged(base: str, old: Mention, new: str) -> str:
    """The base with one name or day in place of another; a month alone is “in”, and keeps the year."""
    before, after = base[: old.start], base[old.end :]
    if old.topic == "date":
        year = _YEAR.search(old.text)
        if year is not None and _MONTH_ALONE.match(new) and not _YEAR.search(new):
            new = f"{new} {year.group()}"
        if _MONTH_ALONE.match(new):
            before = re.sub(r"\bon (the )?$", "in ", before, flags=re.IGNORECASE)
    return f"{before}{new}{after}"


def _covers(mention: Mention, what: str, bare: str) -> bool:
    return mention.end - mention.start >= len(bare) - 2 or fold(mention.text) == fold(what)


def _substituted(work: _Resolving) -> str | None:
    """Pronouns and “the company” by what they stand for; what is left over leans on the last question."""
    text = _pronouns(work)
    led = _LEAD.match(work.question)
    dangling = led is not None and not work.own and text == work.question and len(text.split()) <= 6
    if text == work.question and not work.leans and not dangling:
        return None
    if led is not None:
        text = _LEAD.sub("", text)
        text = text[:1].upper() + text[1:]
    if work.leans or dangling:
        base = _base(work)
        text = f"{text.rstrip(' ?.!')} ({base})?"
    return text


def _base(work: _Resolving) -> str:
    """The last question without its mark, with the names that its answer brought in."""
    last = work.said[-1]
    base = last.question.strip().rstrip(" ?.!")
    work.evidence.update(last.evidence)
    found = [one for topic in ("person", "organisation") for one in focus_of(last, topic, work.finder)]
    known = fold(base)
    new = [one for one in found if fold(one.text) not in known][:2]
    for one in new:
        work.evidence.update(one.evidence)
    return f"{base} — {', '.join(one.text for one in new)}" if new else base


def _pronouns(work: _Resolving) -> str:
    """The question with what it points to put in; notes in `work` what could not be put in."""
    text = work.question
    hidden = {i for match in _QUOTED.finditer(text) for i in range(*match.span())}
    hidden |= {i for mention in work.own for i in range(mention.start, mention.end)}
    tokens = [token for token in _TOKEN.finditer(text) if token.start() not in hidden]
    words = [token.group().lower() for token in tokens]
    pieces, at, skip = list[str](), 0, -1
    for i, token in enumerate(tokens):
        if i <= skip:
            continue
        end, put = token.end(), _stands_for(work, words, i, text, token)
        if words[i] in _DETERMINERS and put is None:
            noun = i + 2 if words[i] == "the" and words[i + 1 : i + 2] == ["same"] else i + 1
            put = _description(work, words, i, noun)
            if put is not None:
                end, skip = tokens[noun].end(), noun
        if put is not None:
            pieces += [text[at : token.start()], put]
            at = end
    return "".join(pieces) + text[at:]


def _stands_for(work: _Resolving, words: list[str], i: int, text: str, token: re.Match[str]) -> str | None:
    word = words[i]
    own = [mention for mention in work.own if mention.start < token.start()]
    if word in _LEMMA and word not in ("it", "its", "itself"):
        if any(mention.topic == "person" or word.startswith("th") for mention in own):
            return None  # it means whom the question itself names
        return _person(work, words, i)
    if word in ("it", "its"):
        if any(mention.topic in ("organisation", "document") for mention in own):
            return None
        if word == "it" and _PLEONASTIC.match(text[token.end() :]):
            return None
        found = work.antecedents("organisation")
        if found and _is_of_last(work, found[0]):
            return _inflected(work.take("it", found[:1]), word)
        work.leans = True
        return None
    if word == "then" and i == len(words) - 1 and i:
        found = work.antecedents("date")
        if found:
            return f"on {work.take('then', found[:1])}"
        work.leans = True
    if word == "there" and i == len(words) - 1 and i and words[i - 1] not in _THERE_IS:
        work.leans = True
    if word == "there" and i == len(words) - 1 and i > 1 and words[i - 1] in _THERE_IS:
        work.leans = True  # “who else was there?”
    if word in ("that", "this", "those", "these") and _is_pronoun(words, i):
        work.leans = True
    return None


def _person(work: _Resolving, words: list[str], i: int) -> str | None:
    word = words[i]
    lemma = _LEMMA[word]
    if lemma in work.chosen:
        return _inflected(work.take(lemma, work.chosen[lemma]), word, words, i)
    if lemma == "they":
        found = work.antecedents("person")
        firms = work.antecedents("organisation")
        if len(found) > 1 and _is_of_last(work, found[0]):
            return _inflected(work.take(lemma, found[:4]), word, words, i)
        if firms and (not found or _is_of_last(work, firms[0])):
            return _inflected(work.take(lemma, firms[:1]), word, words, i)
    else:
        found = _one(work, word, "he" if lemma == "he" else "she")
    if not found:
        work.leans = True
        return None
    return _inflected(work.take(lemma, found[:1]), word, words, i)


def _one(work: _Resolving, word: str, how: Spoken) -> list[Focus]:
    """Whom “he” or “she” means, of the latest turn that names anybody who may be; nobody where that would
    be a guess.
    """
    away = {mention.key for mention in work.own}
    away |= {fold(one.text) for lemma, found in work.chosen.items() if lemma != how for one in found}
    passed = False
    for turn in reversed(work.said):
        named = focus_of(turn, "person", work.finder)
        found = [one for one in named if fold(one.text) not in away]
        may_be = [one for one in found if work.spoken.get(fold(one.text), how) == how]
        passed = passed or len(may_be) < len(found)
        told = [one for one in may_be if fold(one.text) in work.spoken]
        found = told or may_be
        if len(found) == 1:
            return found
        if found and (told or asks_who(turn)):
            others = _or([one.text for one in found[1:4]])
            work.notes.append(f"“{word}” was taken for {found[0].text}; it may be {others}")
            return found[:1]
        if found:
            work.unsure.setdefault(_or([one.text for one in found[:4]]), []).append(f"“{word}”")
            return []
    if passed:
        work.notes.append(f"nobody who was named before is spoken of as “{how}”")
    return []


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _description(work: _Resolving, words: list[str], i: int, noun: int) -> str | None:
    """“The company”, “that day”: the last of its kind."""
    if noun >= len(words):
        return None
    topic = _NOUNS.get(words[noun])
    points = words[i] in _POINTING or noun == i + 2
    if topic is None:
        # “that payment” is one that was spoken of, but “the letter that he sent” tells which itself.
        told = words[i] == "that" and i > 0 and words[i - 1] not in _BEFORE_THAT
        work.leans = work.leans or (points and not told and not _is_pronoun(words, i))
        return None
    if not points and topic in ("date", "document"):
        return None  # “the payment” and “the letter” need not be those that were spoken of
    if any(mention.topic == topic for mention in work.own):
        return None
    found = work.antecedents(topic)
    if not found:
        work.leans = work.leans or points
        return None
    put = work.take(words[noun], found[:1])
    return f"“{put}”" if topic == "document" else put


def _is_pronoun(words: list[str], i: int) -> bool:
    """Whether “that” stands by itself, for what was said."""
    after = words[i + 1] if i + 1 < len(words) else ""
    before = words[i - 1] if i else ""
    return (not after or after in _VERBS_AFTER) and (not before or before in _BEFORE_THAT)


def _is_of_last(work: _Resolving, one: Focus) -> bool:
    last = focus_of(work.said[-1], one.topic, work.finder)
    return any(fold(each.text) == fold(one.text) for each in last)


def _inflected(name: str, word: str, words: Sequence[str] = (), i: int = 0) -> str:
    """The name in the pronoun's place; “her” before a noun is whose."""
    after = words[i + 1] if i + 1 < len(words) else ""
    whose = word in _OWN or (word == "her" and bool(after) and after not in _NOT_NOUNS)
    return f"{name}’s" if whose else name


_NOT_NOUNS_TEXT = """
in on at for to from by with about of after before during and or but when where why how as if that this not
again then there today yesterday is was were did does do has had a an the any anything money
"""
_NOT_NOUNS = frozenset(_NOT_NOUNS_TEXT.split())

_ASKING = "who whom whose what when where why how which did does do is was were are has had can could"
_ASKS = frozenset(_ASKING.split())


def _is_plain(base: str) -> bool:
    """Whether a question begins with a word that is capitalised for its place alone."""
    return base.split(" ", 1)[0].lower() in _ASKS
