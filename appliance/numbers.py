"""Telephone numbers: one normal form inside, each trunk's own form outside (ITU-T E.164).

Pure, on Google's numbering plans. Only what is a valid public number is ever rewritten: a short
code (1909), an extension (1001) or a name stays as it was, and no country code is glued to it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

NumberFormat = Literal["e164", "plain", "national", "subscriber"]
"""+919876543210, 919876543210, 09876543210 or 9876543210."""
NUMBER_FORMATS: tuple[NumberFormat, ...] = ("e164", "plain", "national", "subscriber")

SHORTEST_DIGITS = 7
"""Fewer digits without a plus are an extension or a short code, in whatever country."""
LONGEST = 64
_WRITTEN = re.compile(r"\+?[0-9][0-9 ().\-/]*", re.ASCII)
"""What may be a number: no letters (the library reads 1-800-FLOWERS), no digits but 0-9."""
_NO_DIGIT = re.compile(r"[^0-9]")
CACHED = 4096
FEWEST_TELLING = 3
"""Digits other than 0; of a long number, different ones."""
_WITHHELD = (
    "anonymous", "blocked", "caller id", "coinphone", "no number", "not available", "out of area",
    "payphone", "private", "restricted", "unavailable", "unknown", "withheld",
)  # fmt: skip
_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
_TYPED = frozenset(word.replace(" ", "").translate(_KEYS) for word in _WITHHELD)


def e164(number: str, country: str) -> str:
    """``number`` in E.164 (``+919876543210``), read as it is dialled in ``country`` (ISO 3166).

    What is no valid public number comes back as it was, without the spaces around it.
    """
    parsed = _parse(number, country)
    if parsed is None:
        return number.strip()
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


def is_public(number: str, country: str) -> bool:
    """Whether ``number`` is a valid number of the public telephone network."""
    return _parse(number, country) is not None


def is_premium(number: str) -> bool:
    """Whether ``number`` (E.164) costs its caller more than a call: the numbering plan says so."""
    parsed = _parse(number, "ZZ")
    return parsed is not None and (phonenumbers.number_type(parsed) == PhoneNumberType.PREMIUM_RATE)


def is_shared_cost(number: str) -> bool:
    """Whether ``number`` (E.164) has callers pay a part of a service, by the numbering plan."""
    parsed = _parse(number, "ZZ")
    return parsed is not None and (phonenumbers.number_type(parsed) == PhoneNumberType.SHARED_COST)


def is_premium_short(code: str, country: str) -> bool:
    """Whether a short code, as it is dialled in ``country``, is known to cost more than a call."""
    parsed = PhoneNumber(phonenumbers.country_code_for_region(country), int(code))
    cost = phonenumbers.expected_cost_for_region(parsed, country)
    return bool(cost == phonenumbers.ShortNumberCost.PREMIUM_RATE)


def country_code(of: str) -> str:
    """``+91`` of a country (ISO 3166) or of a number in E.164; empty where there is none."""
    if of.startswith("+"):
        parsed = _parse(of, "ZZ")
        return f"+{parsed.country_code}" if parsed else ""
    code = phonenumbers.country_code_for_region(of)
    return f"+{code}" if code else ""


def for_trunk(number: str, fmt: NumberFormat, country: str) -> str:
    """``number`` as a trunk in ``country`` wants it; only digits, and a plus for ``e164``.

    A foreign number is dialled with the international prefix (``00…``) on trunks that take
    national forms. What is no valid public number comes back trimmed.
    """
    parsed = _parse(number, country)
    if parsed is None:
        return number.strip()
    if fmt == "e164":
        return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if fmt == "plain":
        return phonenumbers.format_number(parsed, PhoneNumberFormat.E164).removeprefix("+")
    if parsed.country_code != phonenumbers.country_code_for_region(country):
        return _digits(phonenumbers.format_out_of_country_calling_number(parsed, country))
    if fmt == "national":
        return _digits(phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    return phonenumbers.national_significant_number(parsed)


def tells_who(caller: str) -> bool:
    """Whether what a trunk shows of a caller is a number of somebody's own.

    Not for withheld numbers, which all who withhold theirs share, in every way that networks write
    that: a word, noughts, one digit again and again, or the word as it is typed on a telephone's keys
    (+266696687 is ANONYMOUS).
    """
    digits = _digits(caller)
    if sum(digit != "0" for digit in digits) < FEWEST_TELLING:
        return False
    if any(word in caller.casefold() for word in _WITHHELD):
        return False
    if len(digits) >= SHORTEST_DIGITS and len(set(digits)) < FEWEST_TELLING:
        return False
    return digits.lstrip("0") not in _TYPED


def candidates(did: str, country: str) -> tuple[str, ...]:
    """The forms under which ``did`` may stand in ``numbers``: as dialled, E.164, then the others."""
    forms = (did.strip(), *(for_trunk(did, fmt, country) for fmt in NUMBER_FORMATS))
    return tuple(dict.fromkeys(forms))


def _digits(text: str) -> str:
    return _NO_DIGIT.sub("", text)


@lru_cache(maxsize=CACHED)
def _parse(number: str, country: str) -> PhoneNumber | None:
    text = number.strip()
    if len(text) > LONGEST or not _WRITTEN.fullmatch(text):
        return None
    if not text.startswith("+") and len(_digits(text)) < SHORTEST_DIGITS:
        return None
    try:
        parsed = phonenumbers.parse(text, country)
    except NumberParseException:
        return None
    return parsed if phonenumbers.is_valid_number(parsed) else None
