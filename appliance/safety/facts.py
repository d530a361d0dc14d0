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
from appliance.safety.digits import Piece, read_numbers
from appliance.safety.fused import apart
from appliance.safety.wordfold import Folded, fold, normalise

CODE_DIGITS = 5
"""So many digits one by one are a code, a telephone, an account: not a count."""
SMALL = 12
"""Counts up to a dozen that count nothing in particular ("two things", "one moment") are no facts."""
IDLE_MINUTES = 2
LAST_DIGITS = 4
MOST_HOURS_AND_DAYS = 31
"""A bare number up to here may be an hour or a day: it makes no amount of money true."""
YEARS = range(1900, 2100)
HALF_DAY_MINUTES = 12 * 60
LONGEST_NUMBER_DIGITS = 18
_GROUPED = re.compile(r"(?<=\d),(?=\d{2,3}(?:\D|$))")
_WITH_COMMAS = re.compile(r"\d{1,3}(?:,\d{2,3})+")
_MONEY_SIGN = re.compile(r"(?:[₹$€£]|\b(?:rs|inr)\.?)\s*$", re.IGNORECASE)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(
    r"(?:https?://|www\.)[^\s,;)]+|\b(?:[a-z0-9-]+\.)+(?:com|in|org|net|gov|edu|io|co|info|biz|app|example)\b",
    re.IGNORECASE,
)
_SPOKEN_DOT = re.compile(
    r"\b[a-z0-9-]+(?: (?:at|dot) [a-z0-9-]+)* dot (?:com|in|org|net|gov|co|io|info|example)\b",
    re.IGNORECASE,
)
_POINTS = frozenset(
    {"point", "दशमलव", "পয়েন্ট", "புள்ளி", "పాయింట్", "ಪಾಯಿಂಟ್", "പോയിന്റ്", "પોઈન્ટ", "پوائنٹ"}
)
_HALVES = frozenset(fold("साढ़े saadhe sadhe साडे સાડા সাড়ে ਸਾਢੇ ساڑھے").words)
_MINUTES_AFTER = {"past": 1, "to": -1}


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, and the words that state it."""

    kind: str
    """``number``, ``clock``, ``code``, ``address``, ``weekday`` or ``month``."""
    value: str
    """Of a number in decimals; of a clock in minutes since midnight, or since one of the twelves; of a
    code its digits."""
    unit: str = ""
    """What the number counts (:mod:`~appliance.safety.units`); of a clock ``half`` when it is not said
    which half of the day."""
    phrase: str = ""


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
    reading = _read(text, language)
    found = [fact for fact in (*reading.numbers, *reading.names) if _matters(fact)]
    return (*found, *_addresses(reading.folded.text))


@lru_cache(maxsize=2048)
def known(text: str, language: str = "en") -> Known:
    """What ``text`` states; every number in it counts, however small."""
    reading = _read(text, language)
    numbers = [f for f in reading.numbers if f.kind == "number"]
    clocks: set[int] = set()
    halves: set[int] = set()
    for fact in reading.numbers:
        if fact.kind == "clock":
            minutes = int(fact.value)
            halves.add(minutes % HALF_DAY_MINUTES)
            # said without a half of the day, it may be either: kept below zero
            clocks.add(minutes if fact.unit != "half" else -1 - minutes % HALF_DAY_MINUTES)
    codes = tuple(f.value for f in reading.numbers if f.kind == "code") + reading.runs
    return Known(
        numbers=frozenset((f.value, f.unit) for f in numbers),
        values=frozenset(f.value for f in numbers)
        | frozenset(str(h // 60 or 12) for h in halves),
        clocks=frozenset(clocks),
        half_clocks=frozenset(halves),
        codes=codes,
        days=_days(reading),
        months=frozenset(int(f.value) for f in reading.names if f.kind == "month"),
        compact=_compact(reading.folded.text),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Reading:
    folded: Folded
    numbers: tuple[Fact, ...]
    names: tuple[Fact, ...]
    runs: tuple[str, ...]


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


def _read(text: str, language: str) -> _Reading:
    plain = apart(_GROUPED.sub("", normalise(text)))
    folded = fold(plain)
    grouped = {m[0].replace(",", "") for m in _WITH_COMMAS.finditer(text)}
    numbers: list[Fact] = []
    runs = []
    for run in read_numbers(plain, language).runs:
        if len(run.digits) >= CODE_DIGITS:
            runs.append(run.digits)
        if _is_code(run.pieces) and not _is_amount(plain, grouped, run.pieces):
            numbers.append(Fact("code", run.digits, "", plain[run.begin : run.end]))
        else:
            numbers += _counted(plain, folded, run.pieces)
    return _Reading(folded, tuple(numbers), tuple(_names(folded)), tuple(runs))


def _is_amount(plain: str, grouped: set[str], pieces: tuple[Piece, ...]) -> bool:
    """Whether many digits are one number after all: written with commas, or with a sign of money."""
    first = pieces[0]
    if len(pieces) > 1 or first.spoken:
        return False
    before, behind = plain[max(0, first.begin - 6) : first.begin], plain[first.end : first.end + 20]
    counts = next(iter(fold(behind).words), "") in units.unit_words()
    return first.digits in grouped or counts or bool(_MONEY_SIGN.search(before))


def _is_code(pieces: tuple[Piece, ...]) -> bool:
    digits = sum(len(piece.digits) for piece in pieces)
    if digits < CODE_DIGITS:
        return False
    if len(pieces) == 1:
        return not pieces[0].spoken and digits > CODE_DIGITS
    row = most = 0
    for piece in pieces:
        row = row + 1 if len(piece.digits) == 1 else 0
        most = max(most, row)
    written = [len(p.digits) for p in pieces if not p.spoken]
    return most >= 3 or (len(written) == len(pieces) and max(written) >= 3 and len(pieces) > 1)


def _counted(plain: str, folded: Folded, pieces: tuple[Piece, ...]) -> list[Fact]:
    """The numbers of a run that is no code: decimals and lakhs joined, each with its unit."""
    found: list[Fact] = []
    at = 0
    while at < len(pieces):
        value, minutes, last = _number(plain, pieces, at)
        found += _with_unit(plain, folded, value, minutes, pieces[at].begin, pieces[last].end)
        at = last + 1
    return found


def _number(plain: str, pieces: tuple[Piece, ...], at: int) -> tuple[Decimal, int | None, int]:
    """(value, minutes behind the hour, last piece) of the number that begins with piece ``at``."""
    whole, last = pieces[at].digits[:LONGEST_NUMBER_DIGITS], at
    value = Decimal(whole)
    if at + 1 < len(pieces):
        after = pieces[at + 1]
        between = plain[pieces[at].end : after.begin]
        if between == "." or between.strip().lower() in _POINTS:
            last = at + 1
            while last + 1 < len(pieces) and len(pieces[last + 1].digits) == 1 and after.spoken:
                last += 1
            tail = "".join(piece.digits for piece in pieces[at + 1 : last + 1])
            value = Decimal(f"{whole}.{tail[:6]}")
        elif _is_time(value, between, after):
            return value, int(after.digits), at + 1
        elif between == " " and after.spoken and len(after.digits) == 2 and len(whole) <= 2:
            return Decimal(whole + after.digits), None, at + 1  # four ninety-nine
    if _is_scale(plain, pieces[last:]):
        last += 1
        value *= Decimal(pieces[last].digits)
    return value, None, last


def _is_time(hour: Decimal, between: str, after: Piece) -> bool:
    if between not in (":", " ") or len(after.digits) != 2 or int(after.digits) >= 60:
        return False
    return hour <= 24 and (between == ":" or after.spoken or hour <= 12)


def _is_scale(plain: str, rest: tuple[Piece, ...]) -> bool:
    """Whether a number written in digits stands before lakh or crore: 2.5 lakh."""
    if len(rest) < 2 or rest[0].spoken or not rest[1].counted:
        return False
    return plain[rest[0].end : rest[1].begin] == " "


def _with_unit(
    plain: str, folded: Folded, value: Decimal, minutes: int | None, begin: int, end: int
) -> list[Fact]:
    before = [w for w, s in zip(folded.words, folded.spans, strict=True) if s[1] <= begin][-3:]
    behind = [w for w, s in zip(folded.words, folded.spans, strict=True) if s[0] >= end][:4]
    phrase = plain[begin:end]
    half = before[-1:] and before[-1] in _HALVES
    if half:
        value += Decimal("0.5")
    unit = _unit(plain, before, behind, begin, end)
    part = _part_of_day(before, behind)
    hour = value <= 24 and (minutes is not None or unit == units.CLOCK or bool(part and not unit))
    if hour and unit in ("", units.CLOCK):
        return [_clock(value, minutes, part, phrase)]
    if minutes is not None:  # four fifty: no time after all
        return [Fact("number", f"{_plain(value)}{minutes:02d}", unit, phrase)]
    return [Fact("number", _plain(value), unit, phrase)]


def _unit(plain: str, before: list[str], behind: list[str], begin: int, end: int) -> str:
    if _MONEY_SIGN.search(plain[max(0, begin - 6) : begin]):
        return units.MONEY
    if plain[end : end + 2].lstrip().startswith("%"):
        return units.PERCENT
    if plain[end : end + 2] == "/-":
        return units.MONEY
    table = units.unit_words()
    if behind[:2] == ["per", "cent"]:
        return units.PERCENT
    for word in behind[:2]:  # three working days
        if word in table:
            unit = table[word]
            per = unit in (units.MONTH, units.YEAR, units.DAY) and behind[0] in (
                "a",
                "per",
                "every",
            )
            return "" if per else unit
        if not word.isalpha() and not any("\u0900" <= c <= "\u0dff" for c in word):
            break
    return units.PERCENT if before[-1:] == [fold("ಶೇಕಡಾ").words[0]] else ""


def _part_of_day(before: list[str], behind: list[str]) -> str:
    parts = units.day_parts()
    for word in (*behind[:4], *reversed(before[-2:])):
        if word in parts:
            return parts[word]
        if word.isdecimal():
            break
    return ""


def _clock(value: Decimal, minutes: int | None, part: str, phrase: str) -> Fact:
    hour, fraction = int(value), value - int(value)
    total = (hour % 24) * 60 + (minutes if minutes is not None else int(fraction * 60))
    if hour > 12:
        return Fact("clock", str(total), "", phrase)
    total %= HALF_DAY_MINUTES
    if part == "pm" or (part == "night" and total >= 6 * 60):
        return Fact("clock", str(total + HALF_DAY_MINUTES), "", phrase)
    return Fact("clock", str(total), "" if part else "half", phrase)


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


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


def _days(reading: _Reading) -> frozenset[int]:
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
