"""Facts in a text: what a caller may write down. Amounts, numbers, times, codes, addresses, days.

The same fact is equal however it is said: 499, "four hundred and ninety-nine", चार सौ निन्यानवे.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from appliance.safety import units
from appliance.safety.counted import HALF_DAY_MINUTES, Counted, Fact, counted
from appliance.safety.wordfold import Folded, fold

__all__ = ["Fact", "Known", "facts", "known"]

SMALL = 12
"""Counts up to a dozen that count nothing in particular ("two things", "one moment") are no facts."""
IDLE_MINUTES = 2
LAST_DIGITS = 4
MOST_HOURS_AND_DAYS = 31
"""A bare number up to here may be an hour or a day: it makes no amount of money true."""
YEARS = range(1900, 2100)
# each begins only where such a word begins, so that a long one takes linear time
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(
    r"(?:https?://|www\.)[^\s,;)]+"
    r"|(?<![\w.-])(?:[a-z0-9-]+\.)+(?:com|in|org|net|gov|edu|io|co|info|biz|app|example)\b",
    re.IGNORECASE,
)
_SPOKEN_DOT = re.compile(
    r"(?<![\w-])[a-z0-9-]+(?: (?:at|dot) [a-z0-9-]+)* dot (?:com|in|org|net|gov|co|io|info|example)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What a text states, to be asked whether a fact is in it."""

    numbers: frozenset[tuple[str, str]]
    values: frozenset[str]
    clocks: frozenset[int]
    """Minutes since midnight."""
    half_clocks: frozenset[int]
    """Of those said, minutes in the half of the day."""
    codes: tuple[str, ...]
    days: frozenset[int]
    months: frozenset[int]
    compact: str
    """The text without spaces, as addresses are compared."""

    def holds(self, fact: Fact) -> bool:
        """Whether ``fact`` stands here."""
        if fact.kind == "number":
            if not fact.unit:
                return fact.value in self.values or self._ends_code(fact.value)
            if (fact.value, fact.unit) in self.numbers:
                return True
            return (fact.value, "") in self.numbers and (
                fact.unit not in (units.MONEY, units.PERCENT)
                or Decimal(fact.value) > MOST_HOURS_AND_DAYS
            )
        if fact.kind == "clock":
            minutes = int(fact.value)
            half = minutes % HALF_DAY_MINUTES
            if not half % 60 and (str(half // 60 or 12), "") in self.numbers:
                return True
            if fact.unit == "half":
                return half in self.half_clocks
            return minutes in self.clocks or -1 - half in self.clocks
        if fact.kind == "code":
            return any(fact.value in code for code in self.codes)
        if fact.kind == "weekday":
            return int(fact.value) in self.days
        if fact.kind == "month":
            return int(fact.value) in self.months
        return fact.value in self.compact

    def _ends_code(self, value: str) -> bool:
        """The last four digits of a card."""
        return len(value) == LAST_DIGITS and any(code.endswith(value) for code in self.codes)


def facts(text: str, language: str = "en") -> tuple[Fact, ...]:
    """The facts of a phrase that must have a source; in order."""
    reading = counted(text, language)
    found = [fact for fact in (*reading.facts, *_names(reading.folded)) if _matters(fact)]
    return (*found, *_addresses(reading.folded.text))


@lru_cache(maxsize=2048)
def known(text: str, language: str = "en") -> Known:
    """What ``text`` states; every number in it counts, however small."""
    reading = counted(text, language)
    numbers = [f for f in reading.facts if f.kind == "number"]
    clocks: set[int] = set()
    halves: set[int] = set()
    for fact in reading.facts:
        if fact.kind == "clock":
            minutes = int(fact.value)
            halves.add(minutes % HALF_DAY_MINUTES)
            # said without a half of the day, it may be either: kept below zero
            clocks.add(minutes if fact.unit != "half" else -1 - minutes % HALF_DAY_MINUTES)
    codes = tuple(f.value for f in reading.facts if f.kind == "code") + reading.runs
    return Known(
        numbers=frozenset((f.value, f.unit) for f in numbers),
        values=frozenset(f.value for f in numbers)
        | frozenset(str(h // 60 or 12) for h in halves),
        clocks=frozenset(clocks),
        half_clocks=frozenset(halves),
        codes=codes,
        days=_days(reading),
        months=frozenset(int(f.value) for f in _names(reading.folded) if f.kind == "month"),
        compact=_compact(reading.folded.text),
    )  # fmt: skip


def _matters(fact: Fact) -> bool:
    """Whether the fact, in what an agent says, is one that a caller relies on."""
    if fact.kind != "number":
        return True
    value = Decimal(fact.value)
    if fact.unit in ("", "unit"):
        return value > SMALL and not (value == int(value) and int(value) in YEARS)
    if fact.unit in (units.SECOND, units.DAY):
        return value > 1
    if fact.unit == units.MINUTE:
        return value > IDLE_MINUTES
    return True


def _names(folded: Folded) -> list[Fact]:
    days, months = units.weekday_words(), units.month_words()
    found = []
    for at, word in enumerate(folded.words):
        single = word[:-1] if word.endswith("s") else word
        if word in days or single in days:
            number = days.get(word, days.get(single, 0))
            found.append(Fact("weekday", str(number), "", folded.written(at, at)))
        elif word in months:
            found.append(Fact("month", str(months[word]), "", folded.written(at, at)))
    return found


_RANGE = frozenset(
    fold("to till until through from से ते to se থেকে முதல் నుండి ನಿಂದ മുതൽ થી ਤੋਂ سے").words
)


def _days(reading: Counted) -> frozenset[int]:
    """The weekdays that a text speaks of: those of "Monday to Saturday" too, and all of "every day"."""
    words = reading.folded.words
    if not units.every_day_words().isdisjoint(words) or "every day" in reading.folded.joined:
        return frozenset(range(units.WEEK_DAYS))
    table = units.weekday_words()
    places = [
        (at, table[w.removesuffix("s")])
        for at, w in enumerate(words)
        if w.removesuffix("s") in table
    ]
    days = {day for _, day in places}
    for (one, first), (two, last) in pairwise(places):
        between = words[one + 1 : two]
        dash = two == one + 1
        if dash or (len(between) <= 2 and not _RANGE.isdisjoint(between)):
            days |= {day % 7 for day in range(first, last + 1 if last >= first else last + 8)}
    return frozenset(days)


def _addresses(text: str) -> list[Fact]:
    found: list[Fact] = []
    for pattern in (_MAIL, _URL, _SPOKEN_DOT):
        for match in pattern.finditer(text):
            value = _compact(match[0])
            if not any(value in fact.value for fact in found):
                found.append(Fact("address", value, "", match[0]))
    return found


def _compact(text: str) -> str:
    text = re.sub(r"\s+dot\s+", ".", text.lower())
    text = re.sub(r"\s+at\s+(?=[\w-]+\.)", "@", text)
    return re.sub(r"https?://|www\.|\s+", "", text)
