"""What is read sign by sign: telephones, one-time passwords, ids, addresses, acronyms."""

from __future__ import annotations

import re
from functools import lru_cache

from appliance.speech import latin
from appliance.speech.amounts import number, plain, symbol, words
from appliance.speech.cardinals import cardinal, digits, year
from appliance.speech.language import Language
from appliance.speech.languages import LANGUAGES, en
from appliance.speech.lexicon import LEXICON
from appliance.speech.patterns import END, START, any_of

_LOOK_BACK, _LOOK_AHEAD = 60, 40
"""Letters around a number that are searched for a word like OTP."""
_MOST_GROUPS = 6
"""Of the digits of one code ("482 193")."""
_SHORTEST_CODE, _LONGEST_COUNT = 3, 9
"""Digits: shorter is no code; longer, without commas and not round, is one whatever stands near."""
_MOBILE_DIGITS, _PHONE_GROUP, _CARD_GROUP = 10, 5, 4
_LINKS = (
    "number no no. is are was id code ending ends in with as your the my digits here for this these "
    "at on be it's following new old registered"
).split()
"""What may stand between a cue and its number ("your OTP for login" may not: it may be an amount)."""
_RUN = re.compile(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*|\d+|\.")
_SPOKEN = frozenset(
    "SIM PIN PAN LAN RAM ROM APP AND THE FOR NOT YOU YES NO NEW ALL ANY ARE CAN OUR OUT NOW PAY GET "
    "USE TO OF ON IN IS BY OR AN AS BE WE MY ME DO GO SO UP IF AT WIFI JIO NASA ISRO SEBI TRAI VISA "
    "NEFT FASTAG HI BYE HAS HAD WAS BUT TWO ONE TEN SIX MAX MIN FIX LOW DAY END BIG RED BUY".split()
)
"""Capitals that are said as a word."""
_SPELT = frozenset(
    "IFSC MICR UIDAI IMEI MMID IMPS ICICI EPFO IRCTC GSTIN AEPS UMANG USSD VOIP IVRS EKYC VOLTE "
    "ESIC".split()
)
"""Capitals with vowels that are spelt all the same, though long enough for a word."""


def telephone(found: re.Match[str], language: Language) -> str:
    """+91 98765 43210, 1800-123-4567, 9876543210: group by group, digit by digit."""
    text = found[0]
    found_groups = re.findall(r"\d+", text)
    alone = len(found_groups) == 1
    groups = [
        part
        for group in found_groups
        for part in (_grouped(group) if alone or len(group) == _MOBILE_DIGITS else [group])
    ]
    said = ", ".join(digits(group, language.numbers) for group in groups)
    return f"{symbol('+', language)} {said}" if text.startswith("+") else said


def _grouped(text: str) -> list[str]:
    """As people read them out: 98765 43210, 1800 123 4567, 4 by 4 of a card."""
    if text.startswith(("1800", "1900")) and len(text) >= _MOBILE_DIGITS:
        return [text[:4], text[4:7], text[7:]]
    if len(text) == _MOBILE_DIGITS + 1 and text[0] == "0":
        return [text[0], text[1:6], text[6:]]
    if len(text) == _MOBILE_DIGITS + 2 and text.startswith("91"):
        return [text[:2], text[2:7], text[7:]]
    size = _PHONE_GROUP if len(text) == _MOBILE_DIGITS else _CARD_GROUP
    if len(text) <= 6:
        return [text]
    return [text[at : at + size] for at in range(0, len(text), size)]


def digit_groups(text: str, language: Language) -> str:
    """A code, digit by digit, with a pause between groups."""
    return ", ".join(digits(group, language.numbers) for group in _grouped(text))


def masked(found: re.Match[str], language: Language) -> str:
    """XXXX XXXX 1234: what can be seen of it."""
    return digits(re.findall(r"\d+", found[0])[-1], language.numbers)


def dotted(found: re.Match[str], language: Language) -> str:
    """192.168.1.1, version 2.0.1."""
    return f" {symbol('.', language)} ".join(number(p, language) for p in found[0].split("."))


def ussd(found: re.Match[str], language: Language) -> str:
    """*199#."""
    names = (symbol(c, language) if c in "*#" else digits(c, language.numbers) for c in found[0])
    return " ".join(names)


def counted_or_code(found: re.Match[str], language: Language) -> str:
    """A bare number: digit by digit near a word like OTP, or where it is too long to be a count."""
    text = found[0]
    if text.isdigit() and len(text) == 4 and text[:2] in ("19", "20"):
        before, after = found.string[: found.start()][-20:], found.string[found.end() :][:20]
        if _year_word(language).search(f"{before}\0{after}"):
            return year(int(text), language)
    if text.isdigit() and len(text) >= _SHORTEST_CODE:
        if len(text) > _LONGEST_COUNT and int(text) % 10**5:
            return digit_groups(text, language)
        if is_code(found.string, found.start(), found.end(), language):
            return digit_groups(text, language)
    return plain(found, language)


@lru_cache
def _year_word(language: Language) -> re.Pattern[str]:
    """Its match: such a word next to the place of the number, which is marked by a zero byte."""
    if not language.year_words:
        return re.compile("(?!)")
    words = START + any_of(language.year_words) + END
    return re.compile(rf"{words}\s*\0|\0\s*{words}")


def is_code(text: str, start: int, end: int, language: Language) -> bool:
    """Whether a word near ``text[start:end]`` says that it is a code, an account, a telephone."""
    before, after = _cues(language)
    return bool(
        before.search(text[max(0, start - _LOOK_BACK) : start])
        or after.match(text[end : end + _LOOK_AHEAD])
    )


@lru_cache
def _cues(language: Language) -> tuple[re.Pattern[str], re.Pattern[str]]:
    cue = START + any_of([*en.LANGUAGE.cues, *language.cues]) + END
    link = any_of([*_LINKS, *language.links]) + END
    ahead = rf"[\s,]*(?:{START}{link}\s*)*"
    return re.compile(
        cue + _gap(link) + rf"(?:\d+[ -]){{0,{_MOST_GROUPS}}}$", re.IGNORECASE
    ), re.compile(ahead + cue, re.IGNORECASE)


def _gap(link: str) -> str:
    """What may stand between a cue and its number: "OTP: ", "account number is", "OTP for login is"."""
    purpose = r"for (?:[a-z]+ ){1,2}(?=is\b)"
    return rf"(?:[\s:#,\-–(\"'.]|{START}{purpose}|{START}{link})*"


@lru_cache
def _cue_at_end() -> re.Pattern[str]:
    cues = {cue for language in LANGUAGES.values() for cue in language.cues}
    links = {*_LINKS, *(link for language in LANGUAGES.values() for link in language.links)}
    return re.compile(START + any_of(cues) + END + _gap(any_of(links) + END) + "$", re.IGNORECASE)


def awaits_code(text: str) -> bool:
    """Whether a number behind ``text`` would be read digit by digit, in any language: "Your OTP is"."""
    return _cue_at_end().search(text[-_LOOK_BACK:]) is not None


def identifier(found: re.Match[str], language: Language) -> str:
    """5G, AB12CD3456, FTTH-599, mp3: capitals letter by letter, digits one by one."""
    text = found[0]
    if re.fullmatch("[2-6][Gg]", text):
        return _generation(text, language)
    if decade := re.fullmatch(r"((?:19|20)?\d)0s", text):
        return _decade(int(decade[1] + "0"), language)
    runs = _RUN.findall(text)
    figures = [run for run in runs if run.isdigit()]
    counted = len(figures) == 1 and len(figures[0]) <= 2 and figures[0][0] != "0"
    said = []
    for run in runs:
        if run == ".":
            said.append(language.numbers.point)
        elif run.isdigit():
            one = cardinal(int(run), language.numbers) if counted else digits(run, language.numbers)
            said.append(one)
        else:
            said.append(word(run, language, single=len(run) <= 2 or _is_code_letters(run)))
    return " ".join(said)


def _decade(first: int, language: Language) -> str:
    """The 1990s; in other languages than English only the number."""
    said = year(first, language) if first > 99 else cardinal(first, language.numbers)
    return said[:-1] + "ies" if said.endswith("y") and language is en.LANGUAGE else said


def _is_code_letters(run: str) -> bool:
    """SBIN of SBIN0001234; but COVID-19, PLAN399."""
    return run.isupper() and run.lower() not in LEXICON and len(run) < 5


def _generation(text: str, language: Language) -> str:
    """4G, 5G: with the English number in every language."""
    english = en.LANGUAGE.numbers.below_hundred[int(text[0])]
    return f"{words(english, language)} {word('G', language)}"


def word(text: str, language: Language, *, single: bool = False) -> str:
    """A word of Latin letters: spelt out, or said, in the script of the voice."""
    bare, quote, ending = text.partition("'")
    if not bare.isascii():
        if language is en.LANGUAGE:
            return text
        bare = latin.ascii_letters(bare)
    if (len(bare) == 1 and bare.isupper()) or single or is_spelt(bare):
        return _spelt_out(bare, language) + (quote + ending if language is en.LANGUAGE else "")
    if language is en.LANGUAGE:
        return _english(text, bare)
    return _foreign(bare, language)


def _english(text: str, bare: str) -> str:
    if bare.isupper() and len(bare) > 1:
        return text.lower()
    runs = _RUN.findall(bare)
    if len(runs) > 1 and any(len(run) > 2 and run.isupper() for run in runs):  # eKYC
        return " ".join(" ".join(run) if is_spelt(run) else run for run in runs)
    return text


def _foreign(bare: str, language: Language) -> str:
    if bare.lower() in LEXICON or bare.lower() in language.words:
        return latin.spelt(bare, language)
    runs = _RUN.findall(bare)
    if len(runs) > 1:  # BharatFiber, eKYC
        return " ".join(word(run, language) for run in runs)
    if len(bare) == 1 or not re.search("[aeiouyAEIOUY]", bare):
        return latin.letters(bare, language)
    return latin.spelt(bare, language)


def is_spelt(text: str) -> bool:
    """Whether capitals are said letter by letter: OTP, BSNL; but SIM, FREE."""
    bare = text[:-1] if text.endswith("s") else text
    if len(bare) < 2 or not (bare.isupper() and bare.isascii()) or bare in _SPOKEN:
        return False
    if bare in _SPELT or not re.search("[AEIOUY]", bare):
        return True
    return len(bare) < 4


def _spelt_out(text: str, language: Language) -> str:
    if language is en.LANGUAGE:
        plural = "s" if len(text) > 2 and text.endswith("s") and text[:-1].isupper() else ""
        return (
            " ".join(text.removesuffix(plural).upper()) + plural
            if plural
            else " ".join(text.upper())
        )
    return latin.letters(
        text[:-1] if text.endswith("s") and text[:-1].isupper() else text, language
    )


def initials(found: re.Match[str], language: Language) -> str:
    """U.S.A."""
    return _spelt_out(found[0].replace(".", ""), language)


def latin_word(found: re.Match[str], language: Language) -> str:
    """A match of the rule ``word``."""
    return word(found[0].replace("’", "'"), language)


def electronic(found: re.Match[str], language: Language) -> str:
    """help@bsnl.co.in, www.bsnl.co.in/pay: as one reads it out; http:// is left out."""
    said = []
    for part in re.findall(r"[A-Za-z]+|\d+|[^\w\s]|_", re.sub("^https?://", "", found[0])):
        if part.isdigit():
            said.append(digits(part, language.numbers))
        elif part.isalpha():
            said.append(_label(part, language))
        else:
            said.append(symbol(part, language))
    return " ".join(filter(None, said))


def _label(part: str, language: Language) -> str:
    known = part.lower() in LEXICON and part.lower() != "bsnl"
    if not known and (not re.search("[aeiouy]", part.lower()) or len(part) == 1):
        return _spelt_out(part, language)
    return part.lower() if language is en.LANGUAGE else latin.spelt(part, language)
