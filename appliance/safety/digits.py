"""Spoken and written numbers in a text -> runs of digits, each with its place in the text.

A run is what a person dictates without a word of another meaning in between: "four one double one",
"nine eight uh triple zero", "forty one eleven", "4111-1111", "चार एक डबल एक". Fillers, words for
separators and corrections do not end it. Nothing is decided here about what the digits are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.safety.numberwords import Kind, NumberWord, Trust, number_words
from appliance.safety.tokens import Token, fold, tokens

MOST_BETWEEN = 8
"""Fillers and the like between two pieces of one run."""
LONGEST_GAP = 12
"""Letters of punctuation between two pieces; white space may be of any length."""
MOST_HOMOPHONE_ROW = 5
"""A row of number words this long makes digits of "to" and "for" in it."""

_FILLERS = frozenset(
    fold(word)
    for word in (
        "uh um umm uhm er erm ah aah hmm hm mm eh ok okay yes yeah ya right then next and so now "
        "like well is are the after that followed by it s its my digits digit number numbers again "
        "rest remaining first second last dash hyphen space dot point comma slash minus stroke "
        "colon underscore please "
        "haan han ji jee achha accha theek thik hai phir fir aur uske baad matlab toh aage "
        "हाँ हां जी अच्छा ठीक है फिर और उसके बाद मतलब तो आगे अंक नंबर डैश स्पेस "
        "ஆமா அப்புறம் பிறகு அடுத்து மற்றும் அவును అవును తర్వాత మరియు ఇంకా হ্যাঁ তারপর আর এবং "
        "हो मग नंतर आणि હા પછી અને ಹೌದು ನಂತರ ಮತ್ತು അതെ പിന്നെ ശേഷം ਹਾਂ ਫਿਰ ਅਤੇ"
    ).split()
)
_CORRECTIONS = frozenset(
    fold(word)
    for word in (
        "sorry no not wait correction actually mean i oops scratch repeat rather instead pardon "
        "nahi nahin नहीं नही सॉरी माफ़ गलत இல்லை మన్నించు కాదు సారీ না সরি नाही ના ಇಲ್ಲ അല്ല ਨਹੀਂ"
    ).split()
)
_COUNTED = frozenset({"digits", "digit", fold("अंक"), fold("अंकों"), "numbers"})
"""Behind a number word: it counts digits, and is none ("the next four digits are")."""
_AND = frozenset({"and", fold("और")})
_BROKEN = re.compile(r"[₹$€£%=<>@&]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Digits said or written in one breath at ``[begin, end)``: "double one", "forty one", "4111"."""

    digits: str
    begin: int
    end: int
    first: int
    last: int
    """The tokens that it is made of, the last included."""
    spoken: bool
    counted: bool = False
    """A number in thousands or lakhs: an amount more likely than a code."""


@dataclass(frozen=True, slots=True)
class Run:
    """Pieces in a row, and before which of them the speaker corrected themselves."""

    pieces: tuple[Piece, ...]
    corrections: tuple[int, ...] = ()

    @property
    def digits(self) -> str:
        """All digits of it."""
        return "".join(piece.digits for piece in self.pieces)

    def place(self, first: int, last: int) -> tuple[int, int]:
        """The letters that digits ``[first, last)`` of it are said in."""
        at, found = 0, []
        for piece in self.pieces:
            if at < last and at + len(piece.digits) > first:
                found.append(piece)
            at += len(piece.digits)
        return found[0].begin, found[-1].end

    @property
    def begin(self) -> int:
        return self.pieces[0].begin

    @property
    def end(self) -> int:
        return self.pieces[-1].end

    @property
    def first(self) -> int:
        """Its first token."""
        return self.pieces[0].first

    @property
    def last(self) -> int:
        """Its last token."""
        return self.pieces[-1].last


@dataclass(frozen=True, slots=True)
class Numbers:
    """A text's tokens and the runs among them."""

    text: str
    tokens: tuple[Token, ...]
    runs: tuple[Run, ...]


def read_numbers(text: str, language: str = "en") -> Numbers:
    """The runs of digits in ``text``, spoken by a caller of ``language`` (BCP 47)."""
    found = tokens(text)
    words = _believed(found, number_words(language))
    pieces = _pieces(text, found, words)
    return Numbers(text, tuple(found), tuple(_runs(text, found, pieces)))


def _believed(found: Sequence[Token], known: dict[str, NumberWord]) -> list[NumberWord | None]:
    """The number word that each token is; None for others and for those that are not believed."""
    words = [None if t.is_digits else known.get(t.text) for t in found]
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and (words[end] is not None or found[end].is_digits):
            end += 1
        if end > at:
            _doubt(words, at, end)
        at = end + 1
    return words


def _doubt(words: list[NumberWord | None], begin: int, end: int) -> None:
    """Strike out, in one row of number words, those that are English words more likely."""
    row = [word.trust for word in words[begin:end] if word is not None]
    sure = row.count(Trust.SURE)
    roman = row.count(Trust.ROMAN_SURE)
    believed = {
        Trust.SURE: True,
        Trust.ROMAN_SURE: True,
        Trust.ROMAN: roman > 0 or row.count(Trust.ROMAN) > 2,
        Trust.HOMOPHONE: sure >= 3 and len(row) >= MOST_HOMOPHONE_ROW,
    }
    for at in range(begin, end):
        word = words[at]
        if word is None or believed[word.trust]:
            continue
        zero = word.trust is Trust.HOMOPHONE and word.value == 0  # "four oh one"
        if not (zero and sure >= 2):
            words[at] = None


def _pieces(text: str, found: Sequence[Token], words: Sequence[NumberWord | None]) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    while at < len(found):
        piece = _piece(text, found, words, at)
        if piece is None:
            at += 1
            continue
        at = piece.last + 1
        counts = piece.spoken and at < len(found) and found[at].text in _COUNTED
        if not (counts and len(piece.digits) <= 2):
            pieces.append(piece)
    return pieces


def _piece(
    text: str, found: Sequence[Token], words: Sequence[NumberWord | None], at: int
) -> Piece | None:
    token, word = found[at], words[at]
    if token.is_digits:
        return Piece(token.text, token.begin, token.end, at, at, False)
    if word is None:
        return None
    if word.kind is Kind.REPEAT:
        return _repeated(found, words, at, word.value)
    return _Cardinal(text, found, words).read(at)


def _repeated(
    found: Sequence[Token], words: Sequence[NumberWord | None], at: int, times: int
) -> Piece | None:
    after = at + 1
    if after >= len(found):
        return None
    word = words[after]
    digits = found[after].text if found[after].is_digits else ""
    if word is not None and word.kind is Kind.SMALL and word.value < 10:
        digits = str(word.value)
    if not digits:
        return None
    digits = digits[0] * (times - 1) + digits
    return Piece(digits, found[at].begin, found[after].end, at, after, True)


class _Cardinal:
    """Reads one number in words: forty one, nine hundred and eleven, four thousand five hundred."""

    def __init__(
        self, text: str, found: Sequence[Token], words: Sequence[NumberWord | None]
    ) -> None:
        self._text = text
        self._found = found
        self._words = words

    def read(self, begin: int) -> Piece | None:
        """The piece that begins with token ``begin``."""
        digits, at = self._below_thousand(begin)
        total, counted = 0, False
        while (word := self._word(at)) is not None and word.kind in (Kind.THOUSAND, Kind.BIG):
            total += int(digits or "1") * word.value
            counted = True
            digits, at = self._rest(at + 1, word.value)
        if counted:
            digits = str(total + int(digits or "0"))
        if at == begin:
            return None
        found = self._found
        return Piece(digits, found[begin].begin, found[at - 1].end, begin, at - 1, True, counted)

    def _rest(self, at: int, scale: int) -> tuple[str, int]:
        """What follows a scale word, where it belongs to the same number."""
        digits, after = self._below_thousand(self._past_and(at))
        return (digits, after) if digits and int(digits) < scale else ("", at)

    def _below_thousand(self, at: int) -> tuple[str, int]:
        digits, at = self._below_hundred(at)
        word = self._word(at)
        if word is None or word.kind not in (Kind.HUNDRED, Kind.HUNDREDS):
            return digits, at
        if word.kind is Kind.HUNDREDS and digits:
            return digits, at  # "four இருநூறு": two numbers
        value = int(digits or "1") * 100 if word.kind is Kind.HUNDRED else word.value
        at += 1
        rest, after = self._below_hundred(self._past_and(at))
        dictated = len(rest) == 1 and self._past_and(at) == at and self._word(after) is not None
        if rest and not dictated:  # "eight hundred four two five" is 800 4 2 5
            value, at = value + int(rest), after
        return str(value), at

    def _below_hundred(self, at: int) -> tuple[str, int]:
        word = self._word(at)
        if word is None or word.kind is not Kind.SMALL:
            return "", at
        after = self._word(at + 1)
        is_tens = word.value >= 20 and word.value % 10 == 0
        if is_tens and after is not None and after.kind is Kind.SMALL and 0 < after.value < 10:
            between = self._text[self._found[at].end : self._found[at + 1].begin]
            if between.strip() in ("", "-"):
                return str(word.value + after.value), at + 2
        return str(word.value), at + 1

    def _past_and(self, at: int) -> int:
        followed = at + 1 < len(self._found) and self._word(at + 1) is not None
        return at + 1 if followed and self._found[at].text in _AND else at

    def _word(self, at: int) -> NumberWord | None:
        return self._words[at] if at < len(self._words) else None


def _runs(text: str, found: Sequence[Token], pieces: Sequence[Piece]) -> list[Run]:
    runs: list[Run] = []
    row: list[Piece] = []
    corrections: list[int] = []
    for piece in pieces:
        if row:
            joined, corrected = _joined(text, found, row[-1], piece)
            if not joined:
                runs.append(Run(tuple(row), tuple(corrections)))
                row, corrections = [], []
            elif corrected:
                corrections.append(len(row))
        row.append(piece)
    if row:
        runs.append(Run(tuple(row), tuple(corrections)))
    return runs


def _joined(text: str, found: Sequence[Token], one: Piece, two: Piece) -> tuple[bool, bool]:
    """Whether two pieces belong to one run, and whether a correction stands between them."""
    between = found[one.last + 1 : two.first]
    if len(between) > MOST_BETWEEN:
        return False, False
    corrected = False
    end = one.end
    for token in (*between, found[two.first]):
        gap = text[end : token.begin]
        if len(gap.strip()) > LONGEST_GAP or _BROKEN.search(gap):
            return False, False
        end = token.end
    for at, token in enumerate(between, start=one.last + 1):
        counts = at + 1 < two.first and found[at + 1].text in _COUNTED
        if token.text in _CORRECTIONS:
            corrected = True
        elif token.text not in _FILLERS and not counts:
            return False, False
    return True, corrected
