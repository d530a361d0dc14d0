"""What a number counts: words beside it, in every language, as one kind of unit.

Two numbers tell the same only when they count the same: ten percent is not ten at night.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from appliance.safety.wordfold import fold
from appliance.speech.languages import LANGUAGES

MONEY, PERCENT, CLOCK = "money", "percent", "clock"
DAY, WEEK, MONTH, YEAR, HOUR, MINUTE, SECOND = (
    "day", "week", "month", "year", "hour", "minute", "second",
)  # fmt: skip
TIMES = frozenset({DAY, WEEK, MONTH, YEAR, HOUR, MINUTE, SECOND})

WEEK_DAYS = 7
_TABLE = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))


def _folded(words: str) -> list[str]:
    return [fold(word).words[0] for word in words.split() if fold(word).words]


@lru_cache(maxsize=1)
def unit_words() -> dict[str, str]:
    """Folded word -> the unit that it names."""
    found: dict[str, str] = {}
    for unit, words in _TABLE["units"].items():
        for word in _folded(words):
            found.setdefault(word, unit)
    for language in LANGUAGES.values():
        for currency in language.money.values():
            for name in (currency.one, currency.many):
                found.setdefault(_folded(name)[-1], MONEY)
        for name in language.currency_names:
            for word in _folded(name)[-1:]:
                found.setdefault(word, MONEY)
        for word in _folded(language.percent.replace("{}", " "))[-1:]:
            found.setdefault(word, PERCENT)
    return found


@lru_cache(maxsize=1)
def day_parts() -> dict[str, str]:
    """Folded word -> ``am``, ``pm`` or ``night``."""
    return {word: part for part, words in _TABLE["day_parts"].items() for word in _folded(words)}


@lru_cache(maxsize=1)
def weekday_words() -> dict[str, int]:
    """Folded word -> 0 (Monday) to 6."""
    found: dict[str, int] = {}
    for number, words in enumerate(_TABLE["weekdays"].values()):
        for word in _folded(words):
            found.setdefault(word, number)
    found.pop(fold("ہفتہ").words[0], None)  # a week, too
    return found


@lru_cache(maxsize=1)
def every_day_words() -> frozenset[str]:
    """Words that mean each day of the week."""
    return frozenset(_folded(_TABLE["other"]["every_day"]))


@lru_cache(maxsize=1)
def month_words() -> dict[str, int]:
    """Folded word -> 1 to 12. "may" and "march" are left out: they are verbs too."""
    found: dict[str, int] = {}
    for language in LANGUAGES.values():
        for number, name in enumerate(language.months, start=1):
            found.setdefault(_folded(name)[0], number)
        for name, number in language.month_names.items():
            for word in _folded(name)[:1]:
                found.setdefault(word, number)
    for verb in ("may", "march", "mar"):
        found.pop(verb, None)
    return found


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """Folded words that carry no meaning of their own, or state nothing: manners."""
    return frozenset(fold(_TABLE["other"]["stop"] + " " + _TABLE["other"]["talk"]).words)
