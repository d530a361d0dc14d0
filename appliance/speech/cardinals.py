"""Numbers -> words, by the tables of a language; Indian scales (thousand, lakh, crore)."""

from __future__ import annotations

from appliance.speech.language import Language, Numbers

MOST_DIGITS = 14
"""Longer whole numbers are codes whatever they count: read digit by digit."""
_WESTERN = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"))


def cardinal(number: int, numbers: Numbers, *, noun: bool = False) -> str:
    """``number`` in words; ``noun``: what is counted follows."""
    if number < 0:
        return f"{numbers.minus} {cardinal(-number, numbers, noun=noun)}"
    words, rest = [], number
    for scale in numbers.scales:
        count, rest = divmod(rest, scale.value)
        if not count:
            continue
        if count == 1:
            words.append((rest > 0 and scale.one_before) or scale.one)
        else:
            many = (rest > 0 and scale.many_before) or scale.many
            stem = scale.stems[count] if count < len(scale.stems) else ""
            words.append(many.format(stem or cardinal(count, numbers)))
    words += _below_thousand(rest, numbers, bool(words))
    said = " ".join(words)
    if noun and numbers.nouns:
        head, space, last = said.rpartition(" ")
        return head + space + numbers.nouns.get(last, last)
    return said


def _below_thousand(number: int, numbers: Numbers, more: bool) -> list[str]:
    hundreds, rest = divmod(number, 100)
    words = []
    if hundreds:
        words.append(((rest > 0 and numbers.hundreds_before) or numbers.hundreds)[hundreds])
    if rest or not (hundreds or more):
        if numbers.joiner and (hundreds or more):
            words.append(numbers.joiner)
        words.append(numbers.below_hundred[rest])
    return words


def western(number: int, numbers: Numbers) -> str:
    """English words of a number that was grouped by thousands: 1,234,567 is over a million."""
    words, rest = [], number
    for value, name in _WESTERN:
        count, rest = divmod(rest, value)
        if count:
            words += [cardinal(count, numbers), name]
    words += _below_thousand(rest, numbers, bool(words))
    return " ".join(words)


def digits(text: str, numbers: Numbers) -> str:
    """ASCII digits one by one."""
    return " ".join(numbers.below_hundred[int(d)] for d in text if d in "0123456789")


def decimal(whole: str, fraction: str, numbers: Numbers, *, noun: bool = False) -> str:
    """12 and "05" -> "twelve point zero five". ``whole``, ``fraction``: ASCII digits."""
    if len(whole) > MOST_DIGITS:
        said = digits(whole, numbers)
    else:
        said = cardinal(int(whole or "0"), numbers, noun=noun and not fraction)
    return f"{said} {numbers.point} {digits(fraction, numbers)}" if fraction else said


def ordinal(number: int, numbers: Numbers, ending: str = "") -> str:
    """Third, twenty-first, तीसरा; ``ending``: as written behind the digits (पाँचवीं)."""
    if not ending and number in numbers.ordinals:
        return numbers.ordinals[number]
    said = cardinal(number, numbers)
    if numbers.joiner:  # English: only the last word changes
        return _english_ordinal(said, numbers)
    if said[-1] in numbers.ordinal_drops:
        said = said[:-1]
    return said + ending if ending else numbers.ordinal.format(said)


def _english_ordinal(words: str, numbers: Numbers) -> str:
    head, sep, last = words.rpartition("-" if "-" in words.rpartition(" ")[2] else " ")
    small = numbers.below_hundred.index(last) if last in numbers.below_hundred else -1
    if small in numbers.ordinals:
        return head + sep + numbers.ordinals[small]
    return head + sep + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def year(number: int, language: Language) -> str:
    """1998 -> nineteen ninety-eight, उन्नीस सौ अट्ठानवे; 2026 -> twenty twenty-six."""
    numbers = language.numbers
    hundreds, rest = divmod(number, 100)
    if language.code == "en" and 11 <= hundreds <= 20 and (rest >= 10 or hundreds != 20):
        if not rest:
            return f"{numbers.below_hundred[hundreds]} hundred"
        tail = numbers.below_hundred[rest] if rest >= 10 else f"oh {numbers.below_hundred[rest]}"
        return f"{numbers.below_hundred[hundreds]} {tail}"
    if numbers.century and 11 <= hundreds <= 19:
        said = numbers.century.format(numbers.below_hundred[hundreds])
        return f"{said} {numbers.below_hundred[rest]}" if rest else said
    return cardinal(number, numbers)
