"""When: dates, years and times of day -> words."""

from __future__ import annotations

import re
from functools import lru_cache

from appliance.speech.amounts import number, words
from appliance.speech.cardinals import cardinal, ordinal, year
from appliance.speech.language import Language
from appliance.speech.patterns import AM_PM, WEEKDAYS, month_numbers

_DIGITS = re.compile(r"\d+")
_TIME = re.compile(rf"(\d{{1,2}})(?:[:.](\d{{2}}))?(?::\d{{2}})?\s*({AM_PM})?")
_CENTURY, _PIVOT = 2000, 70
"""Two digits from 70 on are of the last century."""


def iso_date(found: re.Match[str], language: Language) -> str:
    """2026-11-12."""
    full, month, day = map(int, found[0].split("-"))
    return date(day, month, full, language)


def numeric_date(found: re.Match[str], language: Language) -> str:
    """12/11/2026: the day first; the month first only where it cannot be otherwise."""
    day, month, full = map(int, _DIGITS.findall(found[0]))
    if month > 12 >= day:
        day, month = month, day
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return " ".join(number(part, language) for part in _DIGITS.findall(found[0]))
    if full < 100:
        full += _CENTURY - (100 if full >= _PIVOT else 0)
    return date(day, month, full, language)


def date(day: int, month: int, full: int | None, language: Language) -> str:
    """A date in words; ``full``: the year with its century, None if none is given."""
    numbers = language.numbers
    template = language.date if full is None else language.date_year
    return template.format(
        d=cardinal(day, numbers),
        o=ordinal(day, numbers) if numbers.joiner else "",
        m=language.months[month - 1],
        y="" if full is None else year(full, language),
    )


@lru_cache
def _months(language: Language) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(month_numbers(language).items(), key=lambda pair: -len(pair[0])))


def _month_in(text: str, language: Language) -> int:
    return next(number for name, number in _months(language) if name in text)


def day_month(found: re.Match[str], language: Language) -> str:
    """12 Nov 2026, 12th November, 12-15 नवंबर; November 12, 2026; November 2026."""
    figures = _DIGITS.findall(found[0])
    month = _month_in(found[0], language)
    days = [int(f) for f in figures if len(f) < 3]
    years = [int(f) for f in figures if len(f) == 4]
    full = years[0] if years else None
    if not days:
        return f"{language.months[month - 1]} {year(full or 0, language)}"
    said = date(days[-1], month, full, language)
    if len(days) == 1:
        return said
    numbers = language.numbers
    first = ordinal(days[0], numbers) if numbers.joiner else cardinal(days[0], numbers)
    return language.ranges.format(first, said)


def weekdays(found: re.Match[str], language: Language) -> str:
    """Mon-Sat."""
    first, last = (
        words(WEEKDAYS.get(name, name), language) for name in re.findall("[A-Z][a-z]+", found[0])
    )
    return language.ranges.format(first, last)


def years(found: re.Match[str], language: Language) -> str:
    """2025-26, 1998-2004; a year behind "in" or "since"."""
    figures = _DIGITS.findall(found[0])
    if len(figures) == 1:
        return year(int(figures[0]), language)
    first, last = figures
    second = year(int(last), language) if len(last) == 4 else cardinal(int(last), language.numbers)
    return language.ranges.format(year(int(first), language), second)


def time(found: re.Match[str], language: Language) -> str:
    """10:30, 22:15, 10.30 a.m., 9 am-6 pm. What ends a sentence ends it still."""
    text = found[0]
    parts = [m for m in _TIME.finditer(text) if m[0].strip()]
    half = next((m[3] for m in reversed(parts) if m[3]), "")
    before = found.string[: found.start()].rstrip()
    after = found.string[found.end() :].lstrip()
    ranges = len(parts) > 1
    said = []
    long_day = any(int(part[1]) > 12 for part in parts)
    for at, part in enumerate(parts):
        own = part[3] or (half if int(part[1]) <= 12 and at == len(parts) - 1 else "")
        last = at == len(parts) - 1
        said.append(_time(part, own, language, before, after if last else "", long_day, ranges))
    whole = said[0] if len(said) == 1 else language.ranges.format(*said[:2])
    ends = text.endswith(".") and (not after or after[0].isupper())
    written = next((w for w in _swallowed(language) if text.endswith(w)), "")
    return whole + language.clock.swallowed.get(written, "") + "." * ends


@lru_cache
def _swallowed(language: Language) -> tuple[str, ...]:
    return tuple(sorted(language.clock.swallowed, key=len, reverse=True))


def _time(
    part: re.Match[str],
    half: str,
    language: Language,
    before: str,
    after: str,
    long_day: bool,
    ranges: bool,
) -> str:
    clock = language.clock
    hour, minute = int(part[1]), int(part[2] or 0)
    if half and hour <= 12:
        hour = hour % 12 + (12 if half[0] in "Pp" else 0)
    elif hour > 23:
        hour = 0
    exact = bool(half) or long_day or hour == 0
    written = any(after.startswith(word) for word in clock.oclock)
    spoken = _clock(hour, minute, language, written, exact or ranges)
    name = next((p for start, p in reversed(clock.parts) if hour >= start), "")
    if not exact or not name or before.endswith(tuple(p for _, p in clock.parts)):
        return spoken
    return clock.part.format(p=name, time=spoken)


def _clock(hour: int, minute: int, language: Language, written: bool, exact: bool) -> str:
    clock, numbers = language.clock, language.numbers
    twelve = hour % 12 or 12
    if numbers.joiner:
        return _english(twelve, minute, language, exact or written)
    names = {"h": _hour(twelve, language), "n": _hour(twelve % 12 + 1, language)}
    special = clock.special.get((twelve, minute))
    template = {0: clock.hour, 15: clock.quarter, 30: clock.half, 45: clock.to}.get(minute, "")
    if written and not template:  # பத்து இருபது மணிக்கு
        return f"{names['h']} {cardinal(minute, numbers)}"
    said = special or (template or clock.minutes).format(m=cardinal(minute, numbers), **names)
    if written:  # बजे stands there already
        said = said.removesuffix(" " + clock.oclock[0])
    return said


def _hour(hour: int, language: Language) -> str:
    hours = language.clock.hours
    return hours[hour - 1] if hours else language.numbers.below_hundred[hour]


def _english(hour: int, minute: int, language: Language, bare: bool) -> str:
    names = language.numbers.below_hundred
    if not minute:
        return names[hour] if bare else language.clock.hour.format(h=names[hour])
    minutes = f"oh {names[minute]}" if minute < 10 else names[minute]
    return language.clock.minutes.format(h=names[hour], m=minutes)
