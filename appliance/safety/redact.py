"""Personal data out of what is kept: each number becomes a label in the text, ``[card]``, ``[otp]``, …

Reads text as people type it and as recognisers write speech, in every language that callers speak.
What it finds and what it does not: docs/privacy.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from appliance.safety.cues import Cue, find_cues
from appliance.safety.digits import Numbers, read_numbers
from appliance.safety.personal_numbers import Found, find_numbers, national
from appliance.safety.spelt_codes import find_codes
from appliance.safety.tokens import tokens

KINDS = ("card", "aadhaar", "pan", "otp", "account", "phone")
GROWING_LABEL = "[number]"
"""In place of digits that are still being said: nobody knows yet what they are."""
FEWEST_GROWING_DIGITS = 4
FEWEST_SHOWN_DIGITS = 5
"""In the middle of words that are not final: more is no price."""
FEWEST_ECHOED = 5
"""Digits of a number that, said again alone, give too much of it away; a card's last four do not."""
_NONE: Mapping[str, str] = MappingProxyType({})
_ORDER = {kind: at for at, kind in enumerate((*KINDS, GROWING_LABEL))}


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data at ``[begin, end)`` of the text given."""

    kind: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text with labels in it, and where they went in the text given, in order."""

    text: str
    spans: tuple[Span, ...]


class Redactor:
    """Redacts ``kinds`` of personal data (of :data:`KINDS`) said by a caller of ``language``.

    ``known``: texts whose telephone and account numbers are everybody's (the agent's prompt, the
    passages): they stay.
    """

    def __init__(
        self, kinds: Sequence[str], language: str = "en", known: Iterable[str] = ()
    ) -> None:
        self._kinds = frozenset(kinds)
        self._language = language
        self._known = tuple(known)

    def knowing(self, known: Iterable[str]) -> Redactor:
        """The same, with more texts known."""
        return Redactor(tuple(self._kinds), self._language, (*self._known, *known))

    def redact(self, text: str, before: str = "", *, growing: bool = False) -> Redacted:
        """``text`` without personal data.

        ``before``: what was said just before it, by the agent mostly ("Please tell me the OTP").
        ``growing``: more words are to come; digits at its end become ``[number]``.
        """
        spans = spans_of(self.find(text, before))
        if growing:
            spans += self.growing(text)
        return labelled(text, spans)

    def growing(self, text: str, *, anywhere: bool = False) -> list[Span]:
        """The digits at the end of ``text``, which may go on; ``anywhere``: and rows in it that are
        long enough to be a part of something."""
        runs = read_numbers(text, self._language).runs if self._kinds else ()
        found = []
        for run in runs:
            ends = run is runs[-1] and not tokens(text[run.end :])
            if len(run.digits) >= (FEWEST_GROWING_DIGITS if ends else FEWEST_SHOWN_DIGITS):
                if ends or anywhere:
                    found.append(Span(GROWING_LABEL, run.begin, run.end))
        return found

    def find(self, text: str, before: str = "", echoes: Mapping[str, str] = _NONE) -> list[Found]:
        """The personal data in ``text``; places may overlap.

        ``echoes``: digits that were found before -> their kind. They are found again without any
        sign, also in part: the agent repeats what it has heard.
        """
        if not self._kinds or not text:
            return []
        numbers = read_numbers(text, self._language)
        if not numbers.runs:
            return []
        found = find_numbers(numbers, before)
        pan_cue = any(p.cue is Cue.PAN for p in find_cues(numbers.tokens)) or (
            before != "" and any(p.cue is Cue.PAN for p in find_cues(tokens(before)))
        )
        found += [Found(c.kind, c.begin, c.end) for c in find_codes(numbers, pan_cue)]
        found = [f for f in found if f.kind in self._kinds and not self._is_known(f)]
        secrets = dict(echoes) | {f.digits: f.kind for f in found if f.digits}
        return [*found, *_echoed(numbers, secrets)]

    def _is_known(self, found: Found) -> bool:
        if found.kind not in ("phone", "account") or not self._known:
            return False
        number = national(found.digits)
        return any(number in _numbers_of(text, self._language) for text in self._known)


def warm(language: str = "en") -> None:
    """Build the tables that the first text would wait for (some 40 ms)."""
    Redactor(KINDS, language, ("1800 425 1234",)).redact("my pin is 1234, call +91 98765 43210")


def labelled(text: str, spans: Iterable[Span]) -> Redacted:
    """``text`` with a label in place of each span; of overlapping ones the kind that stands first in
    :data:`KINDS` counts for all."""
    ordered = _apart(spans)
    out, at = [], 0
    for span in ordered:
        label = span.kind if span.kind == GROWING_LABEL else f"[{span.kind}]"
        out += [text[at : span.begin], label]
        at = span.end
    return Redacted("".join([*out, text[at:]]), tuple(ordered))


def spans_of(found: Iterable[Found]) -> list[Span]:
    """The places of what :meth:`Redactor.find` found."""
    return [Span(one.kind, one.begin, one.end) for one in found]


def _echoed(numbers: Numbers, secrets: Mapping[str, str]) -> list[Found]:
    """What of the runs is one of ``secrets``, or enough of one to give it away."""
    found = []
    for run in numbers.runs:
        digits = run.digits
        for secret, kind in secrets.items():
            if digits == secret or (len(digits) >= FEWEST_ECHOED and digits in secret):
                found.append(Found(kind, run.begin, run.end, digits))
            elif len(secret) >= FEWEST_ECHOED and (at := digits.find(secret)) >= 0:
                begin, end = run.place(at, at + len(secret))
                found.append(Found(kind, begin, end, secret))
    return found


def _apart(spans: Iterable[Span]) -> list[Span]:
    apart: list[Span] = []
    for one in sorted(spans, key=lambda span: (span.begin, -span.end)):
        if apart and one.begin < apart[-1].end:
            last = apart[-1]
            kind = min(one.kind, last.kind, key=_ORDER.__getitem__)
            apart[-1] = Span(kind, last.begin, max(last.end, one.end))
        else:
            apart.append(one)
    return apart


@lru_cache(512)
def _numbers_of(text: str, language: str) -> frozenset[str]:
    """The telephone and account numbers that stand in a text, in the form of ``national``."""
    runs = read_numbers(text, language).runs
    pieces = [p.digits for run in runs for p in run.pieces]
    return frozenset(national(d) for d in (*(run.digits for run in runs), *pieces) if len(d) >= 5)
