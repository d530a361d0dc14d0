"""Text as it is generated -> phrases fit to be spoken.

Speech starts on the first words: the first phrase ends at the first clause, or after a few words;
later ones are longer, for better prosody. A phrase never ends inside a number, a date, an
abbreviation or an initial, nor between "your OTP is" and its digits: each phrase is made fit to be
spoken alone (:mod:`appliance.speech.spoken_form`). Nor does it end with a number in mid-sentence
("ninety | rupees"): whoever judges the phrase could not know what it counts.
"""

from __future__ import annotations

import re
import unicodedata

from appliance.speech.codes import awaits_code
from appliance.speech.languages import LANGUAGES
from appliance.speech.sentences import ABBREVIATIONS, SENTENCE_ENDS

CLAUSE_ENDS = ",;:—–"
_CLOSERS = "\"'”’)]"

FIRST_CLAUSE_WORDS = 1
"""A first phrase may be this short when a clause ends ("Yes,")."""
LATER_CLAUSE_WORDS = 6
FIRST_SOFT_WORDS = 2
"""A first phrase this long may end before a function word; ..."""
FIRST_HARD_WORDS = 4
"""... and this long, it ends anywhere between words."""
LATER_HARD_WORDS = 28
LONGEST_LETTERS = 500
"""However few words they are: whoever judges and speaks a phrase is as slow as it is long."""

_ABBREVIATIONS = ABBREVIATIONS | {"etc"}
_SHORT_CURRENCY_LETTERS = 2
"""Rupees are रु. for short; रुपये ends a sentence like any word."""
NATIVE_ABBREVIATIONS = frozenset(
    written.rstrip(".")
    for language in LANGUAGES.values()
    if language.code != "en"
    for written in (
        *language.abbreviations,
        *(name for name in language.unit_names if name.endswith(".")),
        *(name for name in language.currency_names if len(name) <= _SHORT_CURRENCY_LETTERS),
    )
)
_MONTHS = frozenset(
    name
    for language in LANGUAGES.values()
    for name in (*language.months, *language.month_names, *(m[:3] for m in language.months))
    if language.code == "en" or name in (*language.months, *language.month_names)
)
_BINDING = _MONTHS | {"₹", "$", "€", "£", "Rs", "INR", "per", "प्रति"}
"""Words that belong with the next: a year, an amount."""
_NUMBER_WORDS = frozenset(
    word.casefold()
    for language in LANGUAGES.values()
    for said in (
        *language.numbers.below_hundred,
        *language.numbers.hundreds,
        *language.numbers.hundreds_before,
        *(text for s in language.numbers.scales for text in (s.one, s.many, *s.stems)),
        *(text for s in language.numbers.scales for text in (s.one_before, s.many_before)),
    )
    for word in said.replace("{}", "").split()
)
"""Of every language; a model writes them as it likes."""
_INSIDE_NUMBERS = frozenset(
    word for language in LANGUAGES.values()
    for word in (language.numbers.joiner, language.numbers.point) if word
)  # fmt: skip
"""A number may go on behind them: "four hundred and", "two point"."""
# Words before which an English or Hindi listener expects no break to hurt.
FUNCTION_WORDS = frozenset(
    "and or but so because if when while which that who where with from for to at by on in until "
    "till between through और या लेकिन तो क्योंकि अगर जब".split()
)
_WORD = re.compile(r"\S+")


class Phrases:
    """Splits one reply; feed it text as it comes, then :meth:`flush`.

    ``hurry``: the text is still being written, so speech starts on its first few words; a text that
    is all there is cut at clauses only, which sounds better.
    """

    def __init__(self, *, hurry: bool = True) -> None:
        self._text = ""
        self._first = hurry

    def feed(self, text: str) -> list[str]:
        """Take more text; returns the phrases that it completes (possibly none)."""
        self._text += text
        done: list[str] = []
        while (end := self._end()) is not None:
            phrase, self._text = self._text[:end].strip(), self._text[end:]
            if _speakable(phrase):
                done.append(phrase)
                self._first = False
        return done

    def flush(self) -> list[str]:
        """The rest, when the text is over."""
        rest, self._text = self._text.strip(), ""
        return [rest] if _speakable(rest) else []

    def _end(self) -> int | None:
        """Where the phrase at the front of the text ends, or None while that is not known."""
        end = self._natural_end()
        known = len(self._text) if end is None else end
        return _within(self._text) if known > LONGEST_LETTERS else end

    def _natural_end(self) -> int | None:
        clause_words = FIRST_CLAUSE_WORDS if self._first else LATER_CLAUSE_WORDS
        hard_words = FIRST_HARD_WORDS if self._first else LATER_HARD_WORDS
        after_number, previous = False, ""
        for count, word in enumerate(_WORD.finditer(self._text), start=1):
            if word.end() == len(self._text) and not self._complete(word.group()):
                return None
            before_number = after_number
            goes_on = word.group() in _INSIDE_NUMBERS and not previous[-1:].isdigit()
            after_number = (before_number and goes_on) or _is_number(word.group())
            previous = word.group()
            soft = self._first and count > FIRST_SOFT_WORDS and not before_number
            if soft and word.group() in FUNCTION_WORDS:
                if not awaits_code(self._text[: word.start()]):
                    return word.start()
            if _ends_sentence(word.group()) and not self._inside_name(word.end()):
                return word.end()
            if after_number:
                continue
            if count >= clause_words and word.group()[-1] in CLAUSE_ENDS:
                if word.group()[-1] in ",;" or not awaits_code(self._text[: word.end()]):
                    return word.end()
            if count >= hard_words and not _binds(word.group()):
                if not awaits_code(self._text[: word.end()]):
                    return word.end()
        return None

    def _complete(self, word: str) -> bool:
        """Whether a word at the very end of the text can be trusted to be whole.

        "Yes," or "please?" are; "3," may become "3,000", "Rs." is followed by a number, and a full
        stop may turn out to be a decimal point or part of a name.
        """
        last = word.rstrip(_CLOSERS)[-1:]
        if last in "?!।॥":
            return True
        return last in CLAUSE_ENDS and last not in ":–" and word[-2:-1].isalpha()

    def _inside_name(self, end: int) -> bool:
        """A full stop before a lower-case word ends no sentence ("approx. nine")."""
        if self._text[end - 1] != ".":
            return False
        rest = self._text[end:].lstrip()
        return bool(rest) and rest[0].islower()


def _within(text: str) -> int:
    """Where to cut a text that is too long: between words, else before a letter with its marks."""
    space = text.rfind(" ", LONGEST_LETTERS // 2, LONGEST_LETTERS + 1)
    if space >= 0:
        return space
    end = LONGEST_LETTERS
    while end > LONGEST_LETTERS // 2 and unicodedata.category(text[end])[0] in "MC":
        end -= 1
    return end


def _ends_sentence(word: str) -> bool:
    bare = word.rstrip(_CLOSERS)
    if not bare or bare[-1] not in SENTENCE_ENDS:
        return False
    if bare[-1] != ".":
        return True
    stem = bare.rstrip(".").lower().lstrip("(\"'“‘")
    if (
        stem in _ABBREVIATIONS
        or stem in NATIVE_ABBREVIATIONS
        or (len(stem) == 1 and stem.isalpha() and stem != "i")
    ):
        return False
    return not re.fullmatch(r"\d{1,2}", stem) or len(bare) > len(stem) + 1


def _binds(word: str) -> bool:
    """Whether a word belongs with the next: "Rs. 500", "Dr. Rao", "5 January", "1800 425 4255"."""
    bare = word.rstrip(_CLOSERS)
    if bare in _BINDING:
        return True
    return bare.endswith(".") and not _ends_sentence(word)


def _is_number(word: str) -> bool:
    """Whether a word is, or ends with, a number, in figures or in letters: "499,", "ninety"."""
    bare = word.strip(_CLOSERS + CLAUSE_ENDS + "(“‘₹")
    return bare[-1:].isdigit() or bare.casefold() in _NUMBER_WORDS


def _speakable(text: str) -> bool:
    return any(c.isalnum() for c in text)
