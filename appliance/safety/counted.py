"""Numbers in a text, each with what it counts: amounts, percentages, times of day, codes.

The digits are read by :mod:`~appliance.safety.digits`; here decimals, lakhs and times are joined,
prices said as "four ninety-nine" understood, and the words beside a number looked at for its unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from appliance.safety import units
from appliance.safety.digits import Piece, read_numbers
from appliance.safety.fused import apart
from appliance.safety.wordfold import Folded, fold, normalise

CODE_DIGITS = 5
"""So many digits one by one are a code, a telephone, an account: not a count."""
HALF_DAY_MINUTES = 12 * 60
LONGEST_NUMBER_DIGITS = 18
LONGEST_FRACTION_DIGITS = 6
_GROUPED = re.compile(r"(?<=\d),(?=\d{2,3}(?:\D|$))")
_WITH_COMMAS = re.compile(r"\d{1,3}(?:,\d{2,3})+")
_MONEY_SIGN = re.compile(r"(?:[₹$€£]|\b(?:rs|inr)\.?)\s*$", re.IGNORECASE)
_POINTS = frozenset(
    {"point", "दशमलव", "পয়েন্ট", "புள்ளி", "పాయింట్", "ಪಾಯಿಂಟ್", "പോയിന്റ്", "પોઈન્ટ", "پوائنٹ"}
)
_HALVES = frozenset(fold("साढ़े saadhe sadhe साडे સાડા সাড়ে ਸਾਢੇ ساڑھے").words)
_PARTS_OF_HOUR = {("half", "past"): 30, ("quarter", "past"): 15, ("quarter", "to"): -15}


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
class Counted:
    """A text's numbers, and its longer runs of digits whatever they are."""

    folded: Folded
    facts: tuple[Fact, ...]
    runs: tuple[str, ...]


def counted(text: str, language: str) -> Counted:
    """The numbers of ``text``."""
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
    return Counted(folded, tuple(numbers), tuple(runs))


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
            value = Decimal(f"{whole}.{tail[:LONGEST_FRACTION_DIGITS]}")
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
    if before[-1:] and before[-1] in _HALVES:
        value += Decimal("0.5")
    beside = _PARTS_OF_HOUR.get((before[-2], before[-1])) if len(before) > 1 else None
    if beside is not None and minutes is None and 1 <= value <= 12:
        minutes = beside % 60
        value -= beside < 0
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
