"""PAN and IFSC: codes of letters and digits, written, or spelt aloud ("a for apple b c p l one two …").

PAN: five letters, the fourth the holder's class, four digits, a letter (Income Tax Rules, form 49A).
IFSC: four letters of the bank, a zero, six of the branch (Reserve Bank of India).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from appliance.safety.digits import Numbers, Piece
from appliance.safety.tokens import Token, fold
from appliance.speech.languages import LANGUAGES, en
from appliance.speech.latin import letters

_PAN = re.compile(r"[A-Z]{3}[ABCEFGHJKLPT][A-Z][0-9]{4}[A-Z]")
_IFSC = re.compile(r"[A-Z]{4}0[A-Z0-9]{6}")
_GLUED = re.compile(r"(?<![A-Za-z0-9])(?:[A-Za-z]{3}[ABCEFGHJKLPTabcefghjklpt][A-Za-z]\d{4}[A-Za-z]|"
                    r"(?P<ifsc>[A-Za-z]{4}0(?=\w*\d)[A-Za-z0-9]{6}))(?![A-Za-z0-9])")  # fmt: skip
_AS_IN = frozenset(
    {"for", "as", "in", "like", "se", fold("से"), fold("फॉर"), fold("फोर"), "capital", "small"}
)
_ENGLISH_NAMES = "aitch=H zed=Z zee=Z bee=B cee=C dee=D gee=G jay=J kay=K pee=P queue=Q tee=T vee=V"
_LONGEST_CLUSTER = 5
_FILLERS = frozenset("uh um umm er and then phir aur".split()) | {fold("और"), fold("फिर")}
_MOST_FILLERS = 2


@dataclass(frozen=True, slots=True)
class Code:
    """A PAN or an IFSC at ``[begin, end)``."""

    kind: str
    """``pan`` or ``account``."""
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Sign:
    sign: str
    begin: int
    end: int
    at: int
    """Its token."""
    cluster: bool = False
    """Letters written together in lower case, which may be a word."""


def find_codes(numbers: Numbers, has_pan_cue: bool) -> list[Code]:
    """PANs and IFSCs in the text; ``has_pan_cue``: a word nearby says that a PAN comes."""
    found = [
        Code("account" if match["ifsc"] else "pan", match.start(), match.end())
        for match in _GLUED.finditer(numbers.text)
    ]
    for row in _rows(numbers):
        found += _in_row(row, has_pan_cue)
    return found


def _in_row(row: Sequence[_Sign], has_pan_cue: bool) -> Iterator[Code]:
    text = "".join(sign.sign for sign in row)
    owners = [sign for sign in row for _ in sign.sign]
    for pattern, kind in ((_PAN, "pan"), (_IFSC, "account")):
        for match in pattern.finditer(text):
            signs = owners[match.start() : match.end()]
            if any(sign.cluster for sign in signs) and not has_pan_cue:
                continue
            yield Code(kind, signs[0].begin, signs[-1].end)


def _rows(numbers: Numbers) -> Iterator[list[_Sign]]:
    """Letters and digits said one after the other."""
    pieces = {piece.first: piece for run in numbers.runs for piece in run.pieces}
    row: list[_Sign] = []
    at = skipped = 0
    while at < len(numbers.tokens):
        sign, at = _sign(numbers, pieces, at, row)
        if sign is not None:
            row.append(sign)
            skipped = 0
        elif skipped < _MOST_FILLERS and row and _is_filler(numbers.tokens[at - 1]):
            skipped += 1
        else:
            yield row
            row, skipped = [], 0
    yield row


def _sign(
    numbers: Numbers, pieces: dict[int, Piece], at: int, row: Sequence[_Sign]
) -> tuple[_Sign | None, int]:
    """The sign at token ``at``, if it is one, and the token to go on with."""
    token = numbers.tokens[at]
    if (piece := pieces.get(at)) is not None:
        return _Sign(piece.digits, piece.begin, piece.end, at), piece.last + 1
    letter = _letter(token)
    if letter:
        end = _past_example(numbers.tokens, at, letter)
        return _Sign(letter, token.begin, numbers.tokens[end - 1].end, at), end
    written = numbers.text[token.begin : token.end]
    if written.isascii() and written.isalpha() and len(written) <= _LONGEST_CLUSTER:
        cluster = not written.isupper()
        return _Sign(written.upper(), token.begin, token.end, at, cluster), at + 1
    return None, at + 1


def _past_example(found: Sequence[Token], at: int, letter: str) -> int:
    """Behind "for apple" of "a for apple", or "as in apple"."""
    after = at + 1
    while after < len(found) and after - at < 3 and found[after].text in _AS_IN:
        after += 1
    if after > at + 1 and after < len(found):
        word = found[after].text
        same = word[:1].upper() == letter or not word.isascii()
        if same and (len(word) > 1 or _letter(found[after]) == letter):
            return after + 1
    return at + 1


def _is_filler(token: Token) -> bool:
    return token.text in _FILLERS


def _letter(token: Token) -> str:
    if token.is_digits:
        return ""
    if len(token.text) == 1 and token.text.isascii():
        return token.text.upper()
    return _letter_names().get(token.text, "")


@lru_cache
def _letter_names() -> dict[str, str]:
    """एच, ഡി, ஜி, …: how each language writes the name of a Latin letter -> the letter."""
    found: dict[str, str] = {}
    for language in LANGUAGES.values():
        if language is en.LANGUAGE:
            continue
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            found.setdefault(fold(letters(letter, language)), letter)
    for pair in _ENGLISH_NAMES.split():
        name, letter = pair.split("=")
        found.setdefault(name, letter)
    return found
