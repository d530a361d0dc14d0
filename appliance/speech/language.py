"""What is said how in one language: the shape of the tables in :mod:`appliance.speech.languages`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})


class Script(Enum):
    """The alphabet of a voice; the value is its block's first code point (Unicode, chapter 12)."""

    LATIN = 0x0000
    DEVANAGARI = 0x0900
    BENGALI = 0x0980
    GURMUKHI = 0x0A00
    GUJARATI = 0x0A80
    TAMIL = 0x0B80
    TELUGU = 0x0C00
    KANNADA = 0x0C80
    MALAYALAM = 0x0D00


@dataclass(frozen=True, slots=True)
class Scale:
    """A thousand, a lakh, a crore: how so many of them are said.

    ``{}`` in ``many`` is the count. ``*_before``: the form that a smaller number follows
    (Tamil ஆயிரம், but ஆயிரத்து ஒன்று); empty: the same. ``stems``: what stands for the counts 0-99
    where count and scale grow together (Tamil ஐயாயிரம்).
    """

    value: int
    one: str
    many: str
    one_before: str = ""
    many_before: str = ""
    stems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers are said."""

    below_hundred: tuple[str, ...]
    """0 to 99."""
    hundreds: tuple[str, ...]
    """"" and 100, 200 … 900."""
    scales: tuple[Scale, ...]
    """Largest first."""
    point: str
    minus: str
    hundreds_before: tuple[str, ...] = ()
    """The same where more follows; empty: as ``hundreds``."""
    joiner: str = ""
    """Between hundreds and what is below (English "and")."""
    nouns: Mapping[str, str] = field(default_factory=dict)
    """Last word of a number -> what it becomes before a noun (Telugu వేలు, but వేల రూపాయలు)."""
    century: str = ""
    """1998 is "{} hundred …": the template of the hundred; empty: it is said as any number."""
    ordinals: Mapping[int, str] = field(default_factory=dict)
    ordinal: str = "{}"
    ordinal_drops: str = ""
    """Last letters of a number that give way to the ending (ஐந்து, but ஐந்தாவது)."""
    ordinal_endings: Mapping[str, str] = field(default_factory=dict)
    """Written behind digits to make an ordinal -> the ending that is said."""
    endings: tuple[str, ...] = ()
    """Written behind digits and said in one word with the number."""
    halves: Mapping[int, str] = field(default_factory=dict)
    """1 and 2 with a half, before lakh and crore (डेढ़, ढाई)."""
    half: str = ""
    """Any other number with a half there (साढ़े {})."""
    multiplies: bool = False
    """2.5 lakh is said as 250000."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How a time of day is said. ``{h}`` hour, ``{m}`` minutes, ``{n}`` next hour, ``{p}`` part."""

    hour: str
    minutes: str
    quarter: str = ""
    half: str = ""
    to: str = ""
    special: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """(hour, minute) -> said so."""
    hours: tuple[str, ...] = ()
    """1 to 12 where they are not the plain numbers."""
    oclock: tuple[str, ...] = ()
    """Words for the hour that may be written behind the digits; the first is the one in ``hour``."""
    swallowed: Mapping[str, str] = field(default_factory=dict)
    """Of those, what is not said again -> the ending that it leaves."""
    parts: tuple[tuple[int, str], ...] = ()
    """From this hour on: this part of the day."""
    part: str = "{p} {time}"


@dataclass(frozen=True, slots=True)
class Currency:
    """The names of a currency: one and many, and of its hundredth."""

    one: str
    many: str
    minor_one: str
    minor_many: str


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """Everything that one language says in a way of its own; there is one of each, a cache's key."""

    code: str
    script: Script
    numbers: Numbers
    clock: Clock
    months: tuple[str, ...]
    money: Mapping[str, Currency]
    """ISO 4217 code -> names; at least INR."""
    percent: str
    """Template around the number."""
    ranges: str = "{} {}"
    """10-15."""
    fraction: str = "{} {}"
    """3/7; those with a name of their own are in ``fractions``."""
    ratio: str = "{} {}"
    fractions: Mapping[str, str] = field(default_factory=lambda: _NONE)
    date: str = "{d} {m}"
    date_year: str = "{d} {m} {y}"
    per: str = "{}"
    """499/month: the template of what comes behind the slash."""
    month_names: Mapping[str, int] = field(default_factory=dict)
    """Further ways to write a month."""
    currency_names: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Written before or behind an amount -> ISO 4217 code."""
    scale_names: Mapping[str, int] = field(default_factory=dict)
    """लाख, सौ, … written behind a number -> its value."""
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Key of :data:`appliance.speech.units.UNITS` -> said of one, of many."""
    unit_names: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Native ways to write a unit (कि.मी.) -> the key."""
    symbols: Mapping[str, str] = field(default_factory=lambda: _NONE)
    cues: tuple[str, ...] = ()
    """Words near which a number is read digit by digit (a code, an account, a telephone)."""
    year_words: tuple[str, ...] = ()
    """Words directly before or behind a number that make it a year."""
    links: tuple[str, ...] = ()
    """Words that may stand between a cue and its number."""
    abbreviations: Mapping[str, str] = field(default_factory=lambda: _NONE)
    words: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """English word, lower case -> its spelling here, where the general one is not good."""
    letters: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Latin letter, upper case -> its name, where the general one is not good."""
    day_and_night: str = ""
    """24x7."""
