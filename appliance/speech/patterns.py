"""What is written in a way that is not how it is said: one regular expression a language.

Its alternatives stand in order of precedence; the first that matches at a place wins, and what it
matched is looked at no more. Each is named as in :data:`appliance.speech.spoken_form.READINGS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from appliance.speech.language import Language
from appliance.speech.languages import en
from appliance.speech.units import UNITS

WORD = r"\w\u0900-\u0dff\u200c\u200d"
"""Inside of a class: what a word is made of (to ``\\b`` a vowel sign of an Indic script is none)."""
START, END = rf"(?<![{WORD}])", rf"(?![{WORD}])"
NUMBER = (
    r"(?:\d{1,3}(?:,\d{2})*,\d{3}(?!\d|,\d{3}(?!\d))|\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?!\d)"
)
DASH = r"\s*[-–—]\s*"
AM_PM = r"(?:[AaPp][Mm]\b|[AaPp]\.\s?[Mm]\.)"
_TLD = r"(?:com|in|org|net|gov|edu|io|co|info|biz|app|ai|dev)"
_MORE = r"(?:[/?#](?:[^\s,;]*[\w/])?)?"

ENGLISH_SCALES = {
    "lakh": 10**5, "lakhs": 10**5, "lac": 10**5, "lacs": 10**5, "crore": 10**7, "crores": 10**7,
    "cr": 10**7, "Cr": 10**7, "thousand": 10**3, "k": 10**3, "K": 10**3, "million": 10**6, "mn": 10**6,
    "billion": 10**9, "bn": 10**9, "L": 10**5, "Lakh": 10**5, "Lakhs": 10**5, "Crore": 10**7,
    "Crores": 10**7,
}  # fmt: skip
_ONLY_MONEY = frozenset({"L", "K", "k", "mn", "bn", "cr", "Cr"})
CURRENCY_SIGNS = {
    "₹": "INR", "Rs": "INR", "rs": "INR", "RS": "INR", "INR": "INR", "US$": "USD",
    "$": "USD", "USD": "USD",
    "€": "EUR", "EUR": "EUR", "£": "GBP", "GBP": "GBP",
}  # fmt: skip
CURRENCY_WORDS = {
    "rupees": "INR", "rupee": "INR", "Rupees": "INR", "Rupee": "INR", "dollars": "USD", "dollar": "USD",
    "euros": "EUR", "euro": "EUR", "pounds": "GBP", "pound": "GBP",
}  # fmt: skip
WEEKDAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
    "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
"""Short names are read as days only in a range, Mon-Sat: "Sat" is a word."""
ABBREVIATED_ALWAYS = frozenset(
    "mr mrs dr prof smt govt pvt ltd etc vs approx a/c w/o c/o b/w dept".split()
)
"""English abbreviations that need no full stop behind them."""
_BEFORE_NUMBER, _BEFORE_NAME = frozenset({"no", "nos", "fig", "ext"}), frozenset({"st"})


def any_of(words: Iterable[str]) -> str:
    """A group that matches any of ``words``, the longest first."""
    return "(?:" + "|".join(re.escape(w) for w in sorted(set(words), key=len, reverse=True)) + ")"


def month_numbers(language: Language) -> dict[str, int]:
    """Every way to write a month (English ones with their short forms) -> 1 to 12."""
    found: dict[str, int] = {}
    for number, name in enumerate(en.LANGUAGE.months, start=1):
        short = [name[:3]] + (["Sept"] if number == 9 else [])
        ways = [name, *short, name.upper(), *(s.upper() for s in short)]
        if name != "May":  # a verb, if not a name
            ways += [w.lower() for w in (name, *short)]
        found |= dict.fromkeys(ways, number)
    found |= {name: n for n, name in enumerate(language.months, start=1)}
    return found | dict(language.month_names)


def scale_values(language: Language) -> dict[str, int]:
    """Lakh, लाख, cr, … -> value."""
    return ENGLISH_SCALES | dict(language.scale_names)


@lru_cache
def pattern_of(language: Language) -> re.Pattern[str]:
    """Every rule of one language."""
    rules = (
        *_codes(),
        *_calendar(language),
        *_amounts(language),
        *_words(language),
    )
    return re.compile("|".join(f"(?P<{name}>{rule})" for name, rule in rules))


def _codes() -> Iterable[tuple[str, str]]:
    label = r"[A-Za-z0-9][A-Za-z0-9-]*"
    group = r"[ -]?"
    telephones = (
        rf"\+\d{{1,3}}(?:{group}\(?\d{{2,5}}\)?){{2,4}}",
        rf"1[89]00{group}\d{{2,4}}{group}\d{{2,4}}",
        rf"(?:0{group})?[6-9]\d{{4}}{group}\d{{5}}",
        rf"\(?0\d{{2,4}}\)?{group}\d{{3,4}}{group}\d{{4}}",
        r"\d{4}(?:[ -]\d{4}){2,3}",
        r"\d{3}[ -]\d{3}[ -]\d{4}",
        r"[2-9]\d{1,4}-\d{6,8}",
    )
    yield "email", rf"{START}[A-Za-z0-9_.+-]+@[A-Za-z][\w-]*(?:\.[\w-]+)*"
    yield (
        "url",
        rf"{START}(?:https?://)(?:[^\s,;]*[\w/])|{START}(?:{label}\.)+{_TLD}(?![\w@]){_MORE}",
    )
    yield "ussd", r"\*\d[\d*]*#"
    yield "masked", rf"{START}[Xx*]{{2}}[Xx* -]{{0,24}}\d{{2,8}}(?!\d)"
    yield "round", r"(?<!\d)24\s?[x×X*/]\s?7(?!\d)"
    yield "telephone", rf"(?<![\w.,/+])(?:{'|'.join(telephones)})(?![\d/:]|[.,]\d)"
    yield "dotted", r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.]?\d)(?!\.\d)"


def _calendar(language: Language) -> Iterable[tuple[str, str]]:
    months = any_of(month_numbers(language))
    ordinal = any_of(["st", "nd", "rd", "th", *language.numbers.ordinal_endings])
    day = rf"(?<![\d.,:/])(?:0?[1-9]|[12]\d|3[01])(?:\s?{ordinal}{END})?"
    oclock = any_of(language.clock.oclock)
    exact, clock = r"(?:[01]?\d|2[0-4])[:.][0-5]\d(?::[0-5]\d)?", r"(?:[01]?\d|2[0-4])"
    colon = exact.replace("[:.]", ":")
    either = rf"(?:{exact}|{clock})(?!\d)"
    to = r"\s*(?:[-–—]|to\b)\s*"
    swallowed = rf"(?:\s*{any_of([*language.clock.swallowed, 'hrs'])}{END})?"
    not_inside = r"(?<![\d.,:/])"
    # yyyy-mm-dd would else lose its first part to the next rule
    yield "iso_date", r"(?<!\d)(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)"
    yield (
        "date",
        # 5-3-12 is a house
        r"(?<![\d.,/-])(?:\d{1,2}(?P<sep>[/.-])\d{1,2}(?P=sep)\d{4}|\d{1,2}/\d{1,2}/\d{2}"
        r"|\d{2}(?P<dash>[.-])\d{2}(?P=dash)\d{2})(?![\d/]|[.,-]\d)",
    )
    weekday = any_of([*WEEKDAYS, *WEEKDAYS.values()])
    yield "weekdays", rf"{START}{weekday}\.?\s?(?:[-–]|to\b)\s?{weekday}{END}"
    yield (
        "day_month",
        rf"(?:{day}{DASH})?{day}(?:\s+of)?[\s-]*{months}{END}\.?(?:[,\s-]\s*(?:19|20)\d\d(?!\d|,\d))?",
    )
    yield (
        "month_day",
        rf"{START}{months}{END}\.?\s+(?:(?:0?[1-9]|[12]\d|3[01])(?!\d|[:.,/]\d|\s*%)(?:{ordinal}{END})?"
        rf"(?:,?\s+(?:19|20)\d\d(?!\d|,\d))?|(?:19|20)\d\d(?!\d|,\d))",
    )
    yield (
        "time",
        rf"{not_inside}(?:{either}\s*{AM_PM}?{to}{either}\s*{AM_PM}"
        rf"|{either}\s*{AM_PM}(?:{to}{either}(?:\s*{AM_PM})?)?"
        rf"|{colon}(?!\d)(?:{to}{colon}(?!\d))?|{exact}(?=\s*{oclock}))(?!\d|[.,:]\d){swallowed}",
    )
    full, alone = r"(?:19|20)\d\d", r"(?![\d,]|\.\d)"
    yield (
        "years",
        rf"{START}{full}\s?[-–]\s?(?:{full}|\d\d){alone}"
        rf"|(?:(?<=\b[Ii]n )|(?<=\b[Ss]ince )|(?<=\b[Yy]ear )){full}{alone}",
    )


def _amounts(language: Language) -> Iterable[tuple[str, str]]:
    scale = any_of(scale_values(language))
    counted = any_of(set(scale_values(language)) - _ONLY_MONEY)
    native = any_of(language.currency_names) if language.currency_names else "(?!)"
    word = rf"(?:{any_of(CURRENCY_WORDS)}|{native}){END}\.?"
    sign = rf"(?:{START}(?:{any_of(w for w in CURRENCY_SIGNS if w.isalpha())}|{native})\.?|US\$|[₹$€£])"
    units = any_of([*UNITS, *language.unit_names])
    per = r"(?:\s?/\s?(?:[A-Za-z]+|[\u0900-\u0dff\u200c\u200d]+))"
    signed = r"(?:(?<![\w)])[-−+])?"
    many = rf"{NUMBER}(?:{DASH}{NUMBER})?"
    endings = [*language.numbers.ordinal_endings, *language.numbers.endings]
    yield (
        "money",
        rf"[-−]?{sign}\s*[-−]?{NUMBER}(?:{DASH}{sign}?\s*{NUMBER})?(?:\s*{scale}{END})?(?:\s*/-)?"
        rf"(?:\s+{word})?{per}?",
    )
    yield (
        "paid",
        rf"(?<![\d.,]){many}(?:\s*{scale}{END})?\s*(?:/-|(?:₹|Rs|INR){END}\.?|{word}){per}?",
    )
    yield "percent", rf"{signed}(?<![\d.,]){many}\s*%"
    yield "unit", rf"{signed}(?<![\d.,]){many}\s?(?P<named>{units}){END}{per}?"
    yield "ordinal", rf"(?<![\d.,])\d{{1,7}}(?:st|nd|rd|th){END}"
    if endings:
        yield "ending", rf"(?<![\d.,])\d{{1,7}}[-\s]?{any_of(endings)}{END}"
    yield "fraction", r"(?<![\d.,/])\d{1,4}\s?/\s?\d{1,4}(?![\d/A-Za-z]|[.,]\d)"
    yield "product", rf"(?<![\d.,]){NUMBER}\s?[x×X]\s?{NUMBER}(?![A-Za-z])"
    yield (
        "id",
        (
            rf"{START}(?=[A-Za-z/-]*\d)(?=[\d/-]*[A-Za-z])[A-Za-z0-9]+(?:[-/](?=[A-Z0-9]*\d|[A-Z]+{END})[A-Z0-9]+)*"
            r"(?![A-Za-z0-9])(?:\.\d+(?!\d|\.\d))?"
        ),
    )
    yield "ratio", r"(?<![\d.,:])\d{1,4}\s?:\s?\d{1,4}(?![\d:]|[.,]\d)"
    yield "parts", r"(?<![\d.,-])\d{1,4}(?:-\d{1,4}){2,}(?![\d-]|[.,]\d)"
    yield "range", rf"(?<![\d.,]){NUMBER}{DASH}{NUMBER}(?:\s*{counted}{END})?(?![-–]?\d)"
    yield "number", rf"{signed}(?<!\d){NUMBER}(?:\s*{counted}{END})?"


def _words(language: Language) -> Iterable[tuple[str, str]]:
    english = en.LANGUAGE.abbreviations
    free = any_of(w for w in english if w in ABBREVIATED_ALWAYS)
    counted, named = any_of(_BEFORE_NUMBER), any_of(_BEFORE_NAME)
    dotted = any_of(
        w for w in english if w not in ABBREVIATED_ALWAYS | _BEFORE_NUMBER | _BEFORE_NAME
    )
    yield (
        "abbreviation",
        (
            rf"{START}(?:(?i:{free}){END}\.?|(?i:{dotted})\.(?!\w)|(?i:{counted})\.\s?(?=\d)|(?i:{named})\.(?=\s[A-Z]))"
        ),
    )
    if language.abbreviations and language.code != "en":
        yield "native", rf"{START}{any_of(language.abbreviations)}[.॰]"
    yield "initials", r"\b(?:[A-Z]\.){2,}(?!\w)"
    yield "word", r"[A-Za-zÀ-ÖØ-öø-ɏ]+(?:['’][a-z]{1,3}\b)?"
    yield "key", r"(?<=[Pp]ress )[*#]|(?<=[Dd]ial )[*#]|[*#](?=\s*दबा)"
    yield "numbered", r"#(?=\s?\d)"
    yield "symbol", r"(?<=\d)\s?[×]|[&@+=%°$€£₹±÷~<>№]"
    yield "either", r"(?<=\w)\s?/\s?(?=\w)"
