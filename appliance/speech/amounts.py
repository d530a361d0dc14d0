"""How much, how many: matches of the amounts in :mod:`appliance.speech.patterns` -> words."""

from __future__ import annotations

import re
from functools import lru_cache

from appliance.speech import latin
from appliance.speech.cardinals import MOST_DIGITS, cardinal, decimal, digits, ordinal, western
from appliance.speech.language import Currency, Language
from appliance.speech.languages import en
from appliance.speech.patterns import CURRENCY_SIGNS, CURRENCY_WORDS, NUMBER, scale_values
from appliance.speech.units import SPELT, UNITS

_NUMBER = re.compile(NUMBER)
_WESTERN = re.compile(r"\d{1,3}(?:,\d{3}){2,}|\d{3},\d{3}")
_SIGN = re.compile(r"\s*([-−+])")
_SMALLEST_RANGE_OF_HUNDREDS = 50


def number(text: str, language: Language, *, noun: bool = False, foreign: bool = False) -> str:
    """ "1,250.50", "-5", "007" in words; ``foreign``: counted in thousands and millions (English)."""
    numbers = language.numbers
    sign = _SIGN.match(text)
    bare = text[sign.end() :].strip() if sign else text.strip()
    whole, _, fraction = bare.partition(".")
    plain = whole.replace(",", "")
    if len(plain) > MOST_DIGITS or (plain.startswith("0") and len(plain) > 1 and not fraction):
        said = digits(plain, numbers)
    elif numbers.joiner and not fraction and (foreign or _WESTERN.fullmatch(whole)):
        said = western(int(plain), numbers)
    else:
        said = decimal(plain, fraction, numbers, noun=noun)
    if not sign:
        return said
    return f"{numbers.minus if sign[1] != '+' else symbol('+', language)} {said}"


def symbol(sign: str, language: Language) -> str:
    """The name of a sign."""
    if sign in language.symbols:
        return language.symbols[sign]
    english = en.LANGUAGE.symbols.get(sign, "")
    return english if language is en.LANGUAGE else words(english, language)


def words(english: str, language: Language) -> str:
    """English words as the voice of ``language`` can say them."""
    if language is en.LANGUAGE:
        return english
    return " ".join(latin.spelt(word, language) for word in re.findall("[A-Za-z]+", english))


def scaled(text: str, name: str, language: Language, *, noun: bool = False) -> str:
    """A number and its scale: 2.5 lakh -> two point five lakh, ढाई लाख, రెండు లక్షల యాభై వేలు."""
    value = scale_values(language)[name]
    numbers = language.numbers
    whole, _, fraction = text.replace(",", "").partition(".")
    product = _product(whole, fraction, value)
    scale = next((s for s in numbers.scales if s.value == value), None)
    if product is not None and (not fraction or numbers.multiplies or scale is None):
        if numbers.joiner and scale is None:
            return f"{number(text, language)} {'million' if value == 10**6 else 'billion'}"
        return cardinal(product, numbers, noun=noun)
    if scale is None:
        return f"{number(text, language)} {words(name, language)}"
    if fraction.rstrip("0") == "5" and numbers.half and len(whole) < 4:
        count = numbers.halves.get(int(whole)) or numbers.half.format(cardinal(int(whole), numbers))
        return scale.many.format(count)
    return scale.many.format(number(text, language))


def _product(whole: str, fraction: str, value: int) -> int | None:
    """The whole number that is meant, if it is one."""
    if len(whole) > 6 or len(fraction) > 9:
        return None
    tenths = 10 ** len(fraction)
    meant = int(whole + fraction) * value
    return meant // tenths if meant % tenths == 0 else None


def money(found: re.Match[str], language: Language) -> str:
    """₹1,250.50, Rs. 2.5 lakh/-, $5, ₹100-200, ₹499/month; also 499 rupees, 499/-, 5 लाख रुपये."""
    text = found[0]
    amounts = [m[0] for m in _NUMBER.finditer(text)][:2]
    head, _, rest = text.partition(amounts[0])
    last = rest.rpartition(amounts[1])[2] if len(amounts) > 1 else rest
    unit = currency_of(head + " " + last, language)
    scale = _scale_in(last, language)
    said = [amount(a, unit, scale, language, bare=len(amounts) > 1) for a in amounts]
    if len(said) > 1:
        said = [f"{language.ranges.format(*said)} {_names(unit, language).many}"]
    if re.search("[-−]", head):
        said.insert(0, language.numbers.minus)
    return " ".join(said) + per(last, language)


def currency_of(text: str, language: Language) -> str:
    """The currency (ISO 4217) that is named in ``text``; rupees if none is."""
    for name, code in _currencies(language).items():
        if name in text:
            return code
    return "INR"


@lru_cache
def _currencies(language: Language) -> dict[str, str]:
    every = CURRENCY_SIGNS | CURRENCY_WORDS | dict(language.currency_names)
    return dict(sorted(every.items(), key=lambda pair: -len(pair[0])))


@lru_cache
def _scale_name(language: Language) -> re.Pattern[str]:
    names = sorted(scale_values(language), key=len, reverse=True)
    return re.compile(r"\s*(" + "|".join(map(re.escape, names)) + r")(?![\w\u0900-\u0dff])")


def _scale_in(text: str, language: Language) -> str:
    found = _scale_name(language).match(text)
    return found[1] if found else ""


def _names(code: str, language: Language) -> Currency:
    return language.money[code]


def amount(text: str, code: str, scale: str, language: Language, *, bare: bool) -> str:
    """One amount of money; ``bare``: without the name of the currency."""
    names = _names(code, language)
    numbers = language.numbers
    if scale:
        said = scaled(text, scale, language, noun=not bare)
        return said if bare else f"{said} {names.many}"
    whole, _, fraction = text.partition(".")
    plain = whole.replace(",", "")
    foreign = code != "INR"
    if bare or len(fraction) > 2 or len(plain) > MOST_DIGITS:
        said = number(text, language, noun=not bare, foreign=foreign)
        return said if bare else f"{said} {names.many}"
    major, minor = int(plain), int(fraction.ljust(2, "0") or "0")
    parts = []
    if major or not minor:
        count = number(
            str(major) if "," not in whole else whole, language, noun=True, foreign=foreign
        )
        parts.append(f"{count} {names.one if major == 1 else names.many}")
    if minor:
        name = names.minor_one if minor == 1 else names.minor_many
        parts.append(f"{cardinal(minor, numbers, noun=True)} {name}")
    return f" {numbers.joiner} ".join(parts) if numbers.joiner else " ".join(parts)


def per(text: str, language: Language) -> str:
    """What "/month" at the end of ``text`` says, with a space before; else nothing."""
    found = re.search(r"/\s?([A-Za-z]+|[\u0900-\u0dff\u200c\u200d]+)$", text)
    if not found:
        return ""
    key = UNITS.get(found[1], found[1] if found[1] in language.units else "")
    if found[1].isascii():
        said = unit_name(key, language, one=True) if key else words(found[1], language)
    else:
        said = found[1]
    return " " + language.per.format(said)


def unit_name(key: str, language: Language, *, one: bool) -> str:
    """Kilometres, किलोमीटर, जी बी."""
    if key in language.units:
        return language.units[key][0 if one else 1]
    if key in SPELT:
        return latin.letters(key, language)
    return words(en.LANGUAGE.units[key][0 if one else 1], language)


def unit(found: re.Match[str], language: Language) -> str:
    """5 GB, 50-100 Mbps, 32°C, 2 GB/day."""
    written = found["named"]
    count = found.string[found.start() : found.start("named")]
    amounts = [m[0] for m in _NUMBER.finditer(count)]
    key = UNITS.get(written) or language.unit_names[written]
    said = f"{_counted(count, amounts, language)} {unit_name(key, language, one=amounts == ['1'])}"
    return said + per(found.string[found.end("named") : found.end()], language)


def _counted(text: str, amounts: list[str], language: Language) -> str:
    """The one or two numbers of a match: a count, or from - to."""
    if len(amounts) == 1:
        sign = _SIGN.match(text)
        return number((sign[1] if sign else "") + amounts[0], language, noun=True)
    return language.ranges.format(*(number(a, language) for a in amounts))


def percent(found: re.Match[str], language: Language) -> str:
    """18%, 5-10 %."""
    amounts = [m[0] for m in _NUMBER.finditer(found[0])]
    return language.percent.format(_counted(found[0], amounts, language))


def ordinal_number(found: re.Match[str], language: Language) -> str:
    """21st."""
    return ordinal(int(re.match(r"\d+", found[0])[0]), language.numbers)  # type: ignore[index]


def with_ending(found: re.Match[str], language: Language) -> str:
    """5वीं, 3வது, ৫টা: the number and its ending are one word."""
    parts = re.fullmatch(r"(\d+)[-\s]?(.+)", found[0])
    assert parts
    value, ending = int(parts[1]), parts[2]
    if ending in language.numbers.ordinal_endings:
        return ordinal(value, language.numbers, language.numbers.ordinal_endings[ending])
    return cardinal(value, language.numbers) + ending


def fraction(found: re.Match[str], language: Language) -> str:
    """3/4; what has no name of its own (a house number) is said "twelve by seven"."""
    over, under = (part.strip() for part in found[0].split("/"))
    named = language.fractions.get(f"{over}/{under}")
    return named or language.fraction.format(number(over, language), number(under, language))


def ratio(found: re.Match[str], language: Language) -> str:
    """2:1."""
    return language.ratio.format(*(number(part, language) for part in found[0].split(":")))


def product(found: re.Match[str], language: Language) -> str:
    """4x4."""
    one, other = re.split(r"\s?[x×X]\s?", found[0])
    return f"{number(one, language)} {symbol('×', language)} {number(other, language)}"


def parts(found: re.Match[str], language: Language) -> str:
    """5-3-12, a house; 12-34-56: one number after the other."""
    return " ".join(number(part, language) for part in found[0].split("-"))


def number_range(found: re.Match[str], language: Language) -> str:
    """10-15, 2-3 lakh; two long numbers that are not round are a code."""
    amounts = [m[0] for m in _NUMBER.finditer(found[0])]
    scale = _scale_in(found[0][found[0].rindex(amounts[1]) + len(amounts[1]) :], language)
    if scale:
        return language.ranges.format(
            number(amounts[0], language), scaled(amounts[1], scale, language)
        )
    if min(map(len, amounts)) > 3 and any(
        int(a.replace(",", "").partition(".")[0]) % _SMALLEST_RANGE_OF_HUNDREDS for a in amounts
    ):
        return ", ".join(digits(a, language.numbers) for a in amounts)
    return language.ranges.format(*(number(a, language) for a in amounts))


def plain(found: re.Match[str], language: Language) -> str:
    """12,34,567; 250000; -4.5; 1.2 crore."""
    text = found[0]
    value = _NUMBER.search(text)
    assert value
    if scale := _scale_in(text[value.end() :], language):
        said = scaled(value[0], scale, language)
        return f"{language.numbers.minus} {said}" if text[0] in "-−" else said
    after = found.string[found.end() : found.end() + 2]
    counts = after[:1] == " " and "\u0900" <= after[1:] <= "\u0dff"
    return number(text, language, noun=counts)
