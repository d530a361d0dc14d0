"""What a run of digits is: a card, an Aadhaar number, a telephone, an account, a one-time password.

Strong signs (check digits, numbering plans) need no word beside them; weak ones (length alone) do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from appliance.numbers import e164, is_public
from appliance.safety.checksums import AADHAAR_DIGITS, VID_DIGITS, is_aadhaar, is_card, issued
from appliance.safety.cues import MOST_AFTER, MOST_BEFORE, Cue, Place, find_cues, is_link, is_money
from appliance.safety.digits import Numbers, Piece, Run
from appliance.safety.tokens import fold, tokens

COUNTRY = "IN"
"""ISO 3166: how numbers without a country code are read."""
MOBILE_DIGITS = 10
_TOLL_FREE = ("1800", "1860", "01800", "01860", "911800", "911860")
"""Nobody's own number (TRAI's numbering plan)."""
_PLUS = frozenset({"plus", fold("प्लस"), fold("பிளஸ்"), fold("ప్లస్"), fold("প্লাস")})
MOST_DROPPED = 8
"""Digits that one correction may take back."""
MOST_CORRECTIONS = 2
"""Looked into; a run with more is redacted by its cue alone."""
MOST_RUN_DIGITS = 200
LAST_WORDS = 30
"""Of what was said before; further back is another matter."""
LENGTHS: dict[Cue, range] = {
    Cue.OTP: range(3, 9),
    Cue.CARD: range(7, 20),
    Cue.AADHAAR: range(7, 17),
    Cue.ACCOUNT: range(9, 19),
    Cue.PHONE: range(7, 14),
    Cue.CITY: range(6, 7),
}
"""How many digits a number has that such a word announces: its first half alone included."""
BROKEN_LENGTHS: dict[Cue, range] = {
    Cue.OTP: range(3, 9),
    Cue.CARD: range(8, 20),
    Cue.AADHAAR: range(7, 17),
    Cue.ACCOUNT: range(8, 19),
    Cue.PHONE: range(7, 14),
}
"""The same where a recogniser has made other words of some of them."""
MOST_MISHEARD = 3
"""Words in the middle of an announced number that a recogniser made of its digits ("know my date seven"
for "zero nine eight seven"); in an OTP one."""
KIND_OF = {
    Cue.OTP: "otp",
    Cue.CARD: "card",
    Cue.AADHAAR: "aadhaar",
    Cue.ACCOUNT: "account",
    Cue.PHONE: "phone",
}
_MISHEARD_CARD = range(15, 17)
_DATE_OR_TIME = re.compile(
    r"(?<![\d/.:-])(?:\d{1,2}([-/.])\d{1,2}\1(?:\d{4}|\d{2})|\d{4}-\d\d-\d\d|\d{1,2}:\d\d(?::\d\d)?)"
    r"(?![-/.: ]?\d)"
)
_GROUPED = re.compile(
    r"(?<![\d,])(?:\d{1,2}(?:,\d\d)+,\d{3}|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?![\d,])"
)
_CURRENCY = re.compile(r"[₹$€£]\s*$")
_PERCENT = re.compile(r"\s*(?:%|/-|/month|/day)")


@dataclass(frozen=True, slots=True)
class Found:
    """Personal data at ``[begin, end)`` of a text."""

    kind: str
    begin: int
    end: int
    digits: str = ""


def find_numbers(numbers: Numbers, before: str = "") -> list[Found]:
    """Cards, Aadhaar numbers, telephones, accounts and OTPs among the runs of ``numbers``.

    ``before``: what was said just before the text; it is looked at for cues only ("Please tell me
    the OTP").
    """
    cues = find_cues(numbers.tokens)
    asked = [place.cue for place in find_cues(tokens(before)[-LAST_WORDS:])] if before else []
    harmless = [m.span() for p in (_DATE_OR_TIME, _GROUPED) for m in p.finditer(numbers.text)]
    found: list[Found] = []
    for at, run in enumerate(numbers.runs):
        if len(run.digits) > MOST_RUN_DIGITS:
            found.append(Found("account", run.begin, run.end, run.digits))
            continue
        earlier = numbers.runs[at - 1].last if at else -1
        look = _Look(numbers, run, cues, asked, earlier)
        strong = list(_strong(look))
        found += strong
        left = [p for p in run.pieces if not any(f.begin <= p.begin < f.end for f in strong)]
        for pieces in _rows(run, left):
            found += _weak(look, pieces, harmless)
    return [*found, *_broken(numbers, cues, asked)]


@dataclass(frozen=True, slots=True)
class _Look:
    """One run in its surroundings."""

    numbers: Numbers
    run: Run
    cues: Sequence[Place]
    asked: Sequence[Cue]
    earlier: int
    """Last token of the run before."""

    def announced(self, first: int, last: int, length: int) -> Cue | None:
        """The nearest cue that fits ``length`` digits at tokens ``[first, last]``."""
        behind = self._behind(last)
        if behind is not None and length in LENGTHS.get(behind, ()):
            return behind
        for place in reversed(self.cues):
            if place.last >= first:
                continue
            if first - place.last > MOST_BEFORE or place.last <= self._barrier(first):
                break
            if place.cue is Cue.OTHER:
                return Cue.OTHER
            if length in LENGTHS.get(place.cue, ()):
                return place.cue
        return next((cue for cue in reversed(self.asked) if length in LENGTHS.get(cue, ())), None)

    def _barrier(self, first: int) -> int:
        """A number between a cue and ours has taken the cue, unless ours goes on with it."""
        return self.earlier if first == self.run.first else -1

    def _behind(self, last: int) -> Cue | None:
        for place in self.cues:
            if place.first > last:
                between = self.numbers.tokens[last + 1 : place.first]
                near = len(between) <= MOST_AFTER and all(is_link(t) for t in between)
                return place.cue if near else None
        return None

    def contrary(self, first: int) -> bool:
        """Whether a word just before says that the number is an order's, a complaint's, …"""
        return any(place.cue is Cue.OTHER and 0 < first - place.last <= 4 for place in self.cues)

    def is_counted(self, first: int, last: int) -> bool:
        """Whether it is an amount: rupees before, a unit or a percent sign behind."""
        found, text = self.numbers.tokens, self.numbers.text
        if any(place.cue is Cue.UNIT and place.first == last + 1 for place in self.cues):
            return True
        if first and is_money(found[first - 1]):
            return True
        before = text[: found[first].begin]
        return bool(_CURRENCY.search(before[-4:]) or _PERCENT.match(text[found[last].end :]))

    def has_plus(self, piece: Piece) -> bool:
        """Whether a plus stands, or was said, before it."""
        before = self.numbers.text[max(0, piece.begin - 3) : piece.begin].rstrip()
        said = piece.first > 0 and self.numbers.tokens[piece.first - 1].text in _PLUS
        return before.endswith("+") or said


def _rows(run: Run, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    """What the strong signs have left of a run, in pieces that still stand side by side."""
    row: list[Piece] = []
    order = {id(piece): at for at, piece in enumerate(run.pieces)}
    for piece in pieces:
        if row and order[id(piece)] != order[id(row[-1])] + 1:
            yield tuple(row)
            row = []
        row.append(piece)
    if row:
        yield tuple(row)


# --- strong signs ---------------------------------------------------------------------------------


def _strong(look: _Look) -> Iterator[Found]:
    run = look.run
    if run.corrections and (kind := _corrected(run)):
        yield Found(kind, run.begin, run.end, run.digits)
        return
    taken = 0
    for first in range(len(run.pieces)):
        if first < taken:
            continue
        for last in range(len(run.pieces) - 1, first - 1, -1):
            pieces = run.pieces[first : last + 1]
            kind = _kind(look, pieces, _stands_alone(run, first, last))
            if kind:
                digits = "".join(p.digits for p in pieces)
                yield Found(kind, pieces[0].begin, pieces[-1].end, digits)
                taken = last + 1
                break


def _stands_alone(run: Run, first: int, last: int) -> bool:
    """Whether pieces ``[first, last]`` are the whole run, or words part them from the rest of it."""
    pieces = run.pieces
    begins = first == 0 or pieces[first].first > pieces[first - 1].last + 1
    return begins and (last + 1 == len(pieces) or pieces[last + 1].first > pieces[last].last + 1)


def _kind(look: _Look, pieces: Sequence[Piece], whole: bool) -> str:
    """What the whole of ``pieces`` is by its digits alone; ``whole``: nothing else is with them."""
    digits = "".join(p.digits for p in pieces)
    if any(p.counted for p in pieces) and len(pieces) < 3:
        return ""
    if is_card(digits):
        return "card"
    if (kind := _telephone(look, pieces, digits, whole)) != "":
        return kind
    if len(digits) == AADHAAR_DIGITS and is_aadhaar(digits):
        return "" if look.contrary(pieces[0].first) else "aadhaar"
    if len(digits) == VID_DIGITS and is_aadhaar(digits) and whole:
        return "" if look.contrary(pieces[0].first) else "aadhaar"
    misheard = whole and len(digits) in _MISHEARD_CARD and issued(digits.ljust(16, "0")[:16])
    if misheard and not look.contrary(pieces[0].first):
        return "card"
    return ""


def _telephone(look: _Look, pieces: Sequence[Piece], digits: str, whole: bool) -> str:
    if not 7 <= len(digits) <= 15 or digits.startswith(_TOLL_FREE):
        return ""
    if look.contrary(pieces[0].first) and not look.has_plus(pieces[0]):
        return ""
    if look.has_plus(pieces[0]):
        return "phone" if is_public("+" + digits, COUNTRY) else ""
    cue = look.announced(pieces[0].first, pieces[-1].last, len(digits))
    if cue is Cue.ACCOUNT or (cue is Cue.AADHAAR and is_aadhaar(digits)):
        return ""
    mobile = re.fullmatch(r"(?:0?91|0091|0)?([6-9]\d{9})", digits)
    if mobile and (whole or not any(p.spoken for p in pieces)):
        return "phone"
    if whole and digits[0] == "0" and len(digits) >= 11 and is_public(digits, COUNTRY):
        return "phone"
    return ""


def _corrected(run: Run) -> str:
    """What a run is when what its speaker took back is left out."""
    if len(run.corrections) > MOST_CORRECTIONS:
        return ""
    for digits in _versions(run):
        if is_card(digits):
            return "card"
        if len(digits) == AADHAAR_DIGITS and is_aadhaar(digits):
            return "aadhaar"
        if len(digits) == MOBILE_DIGITS and digits[0] in "6789":
            return "phone"
    return ""


def _versions(run: Run) -> Iterator[str]:
    """The digits of a run with 0 to 8 of them taken back before each correction."""
    bounds = [0, *run.corrections, len(run.pieces)]
    parts = ["".join(p.digits for p in run.pieces[a:b]) for a, b in pairwise(bounds)]
    kept = [parts[0]]
    for part in parts[1:]:
        kept = [k[: len(k) - drop] + part for k in kept for drop in _drops(k)]
    yield from kept


def _drops(kept: str) -> Iterator[int]:
    yield from range(1, min(len(kept), MOST_DROPPED) + 1)
    yield 0
    yield len(kept)


# --- weak signs -----------------------------------------------------------------------------------


def _weak(
    look: _Look, pieces: Sequence[Piece], harmless: Sequence[tuple[int, int]]
) -> Iterator[Found]:
    digits = "".join(p.digits for p in pieces)
    first, last = pieces[0].first, pieces[-1].last
    begin, end = pieces[0].begin, pieces[-1].end
    if len(digits) < LENGTHS[Cue.OTP].start or digits.startswith(_TOLL_FREE):
        return
    if any(a <= begin and end <= b for a, b in harmless) or look.is_counted(first, last):
        return
    cue = look.announced(first, last, len(digits))
    if cue in KIND_OF:
        yield Found(KIND_OF[cue], begin, end, digits)


def _broken(numbers: Numbers, cues: Sequence[Place], asked: Sequence[Cue]) -> Iterator[Found]:
    """Announced numbers with words in the middle that nobody said."""
    at = 0
    while at < len(numbers.runs):
        row = [numbers.runs[at]]
        at += 1
        cue = _announces(numbers, cues, asked, row[0])
        most = 1 if cue is Cue.OTP else MOST_MISHEARD
        while cue in BROKEN_LENGTHS and at < len(numbers.runs):
            between = range(row[-1].last + 1, numbers.runs[at].first)
            told = any(place.first in between for place in cues)
            if len(between) > most or told or not _is_spoken(row[-1], numbers.runs[at]):
                break
            row.append(numbers.runs[at])
            at += 1
        if cue in BROKEN_LENGTHS and len(row) > 1:
            if sum(len(run.digits) for run in row) in BROKEN_LENGTHS[cue]:
                yield Found(KIND_OF[cue], row[0].begin, row[-1].end)


def _announces(
    numbers: Numbers, cues: Sequence[Place], asked: Sequence[Cue], run: Run
) -> Cue | None:
    """The nearest cue before a run, whatever its length."""
    before = [p for p in cues if p.last < run.first and p.cue is not Cue.UNIT]
    if before and run.first - before[-1].last <= MOST_BEFORE:
        return before[-1].cue
    return next((cue for cue in reversed(asked) if cue in BROKEN_LENGTHS), None)


def _is_spoken(*runs: Run) -> bool:
    return all(piece.spoken and not piece.counted for run in runs for piece in run.pieces)


def national(digits: str) -> str:
    """A telephone number's digits in one form, to be compared."""
    number = e164(digits, COUNTRY)
    return number if number.startswith("+") else digits.lstrip("0")
