"""What is written -> what is spoken: numbers, money, dates, codes, English in Indian languages.

Pure and total: any text gives a text. The tables are in :mod:`appliance.speech.languages`; a
language without one gets only the operator's dictionary, and loses what cannot be spoken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from appliance.speech import amounts, calendar, codes
from appliance.speech.cleaned import cleaned
from appliance.speech.language import Language
from appliance.speech.languages import en, language_of
from appliance.speech.patterns import pattern_of
from appliance.speech.pronounced import dictionary_of

LONGEST_LETTERS = 2000
"""Of a text, and of what it becomes: what ``ivr tts`` takes (docs/wires.md, section 3). A phrase of a
call has about 100."""

_NO_PRONUNCIATIONS: Mapping[str, str] = MappingProxyType({})


def spoken_form(
    text: str, language: str, pronunciations: Mapping[str, str] = _NO_PRONUNCIATIONS
) -> str:
    """``text`` as the voice of ``language`` (BCP 47) should say it; 2000 letters at most.

    ``pronunciations``: written word -> how it is spelt for the voice. It goes before every rule, and
    what it gives is not touched again. Never raises.
    """
    text = cleaned(text[:LONGEST_LETTERS])
    tables = language_of(language)
    said, at = [], 0
    for start, end, spelling in dictionary_of(pronunciations).find(text):
        said += [_read(text, at, start, tables), spelling]
        at = end
    said.append(_read(text, at, len(text), tables))
    return _cut("".join(said).strip())


def _read(text: str, start: int, end: int, language: Language | None) -> str:
    """``text[start:end]`` in words; what stands around it is looked at, not read."""
    if language is None:
        return _tidy(text[start:end])
    said, at = [], start
    for found in pattern_of(language).finditer(text, start, end):
        said.append(text[at : found.start()])
        words = READINGS[found.lastgroup or ""](found, language)
        said.append(_apart(text, found, words))
        at = found.end()
    said.append(text[at:end])
    return _tidy("".join(said), hyphens=language is en.LANGUAGE)


def _apart(text: str, found: re.Match[str], words: str) -> str:
    """``words`` with a space where the digits stood against letters (499का, 5GB)."""
    before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
    lead = " " if before.isalnum() or _is_mark(before) or before in ("/", "+") else ""
    return lead + words + (" " if after.isalnum() or _is_mark(after) else "")


def _is_mark(letter: str) -> bool:
    return "\u0900" <= letter <= "\u0dff"


_PAIRED = re.compile(r"\s*[()]\s*")
_DASH = re.compile(r"\s*[–—]\s*|\s+-+\s+|(?<=\s)-+|-+(?=\s)")
_HYPHEN = re.compile(r"-+")
_LEFT = re.compile(r"[\"/#*_<>=~|^]|(?<![A-Za-z])'|'(?![A-Za-z])")
_SPACE = re.compile(r"\s+")
_BEFORE_STOP = re.compile(r"\s+(?=[,.;:?!।॥])")
_STOPS = re.compile(r"[,;:](?:\s*[,;:])+")
_DOUBLED = re.compile(r"[,;:]\s*([.?!।॥])|([.?!।॥])\s*,")
_LEADING = re.compile(r"^[\s,;:.?!।॥]+(?=\S)")
_COMMA = re.compile(r",(?=\w)")
_MANY_STOPS = re.compile(r"\.{2,}")


def _tidy(text: str, *, hyphens: bool = True) -> str:
    """Pauses as commas, one space between words, and no sign that is left over."""
    text = _DASH.sub(", ", _PAIRED.sub(", ", text))
    if not hyphens:
        text = _HYPHEN.sub(" ", text)
    text = _BEFORE_STOP.sub("", _SPACE.sub(" ", _LEFT.sub(" ", text)))
    text = _DOUBLED.sub(r"\1\2", _STOPS.sub(",", _MANY_STOPS.sub(".", text)))
    return _COMMA.sub(", ", text)


def _cut(text: str) -> str:
    """No more than a server takes, cut between words; nothing, if there is nothing to say."""
    text = _LEADING.sub("", text).rstrip(" ,;:")
    if not any(c.isalnum() for c in text):
        return ""
    if len(text) <= LONGEST_LETTERS:
        return text
    head, space, _ = text[: LONGEST_LETTERS + 1].rpartition(" ")
    return head if space else text[:LONGEST_LETTERS]


def _abbreviation(found: re.Match[str], language: Language) -> str:
    text = found[0].strip()
    bare = text.rstrip(".").lower()
    english = en.LANGUAGE.abbreviations[bare]
    after = found.string[found.end() :]
    ends = text.endswith(".") and (
        not after.strip() if bare not in ("etc", "ltd") else _ends(after)
    )
    space = " " * (len(found[0]) - len(found[0].rstrip()))
    return amounts.words(english, language) + "." * ends + space


def _ends(after: str) -> bool:
    return not after.strip() or after.lstrip()[0].isupper()


def _native(found: re.Match[str], language: Language) -> str:
    return language.abbreviations[found[0].rstrip(".॰")]


def _named(sign: str) -> Callable[[re.Match[str], Language], str]:
    return lambda found, language: f" {amounts.symbol(sign or found[0].strip(), language)} "


READINGS: Mapping[str, Callable[[re.Match[str], Language], str]] = {
    "email": codes.electronic,
    "url": codes.electronic,
    "ussd": codes.ussd,
    "masked": codes.masked,
    "round": lambda found, language: language.day_and_night,
    "telephone": codes.telephone,
    "dotted": codes.dotted,
    "iso_date": calendar.iso_date,
    "date": calendar.numeric_date,
    "day_month": calendar.day_month,
    "month_day": calendar.day_month,
    "time": calendar.time,
    "weekdays": calendar.weekdays,
    "years": calendar.years,
    "money": amounts.money,
    "paid": amounts.money,
    "percent": amounts.percent,
    "unit": amounts.unit,
    "ordinal": amounts.ordinal_number,
    "ending": amounts.with_ending,
    "id": codes.identifier,
    "fraction": amounts.fraction,
    "ratio": amounts.ratio,
    "product": amounts.product,
    "parts": amounts.parts,
    "range": amounts.number_range,
    "number": codes.counted_or_code,
    "abbreviation": _abbreviation,
    "native": _native,
    "initials": codes.initials,
    "word": codes.latin_word,
    "key": _named(""),
    "numbered": _named("№"),
    "symbol": _named(""),
    "either": lambda found, language: " ",
}
"""Rule of :mod:`appliance.speech.patterns` -> how its matches are read."""
