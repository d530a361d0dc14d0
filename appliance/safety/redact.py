"""Personal data out of what is kept: each number becomes a label in the text, ``[card]``, ``[otp]``, …

Reads text as people type it and as recognisers write speech, in every language that callers speak.
What it finds and what it does not: docs/privacy.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from appliance.safety.cues import Cue, find_cues
from appliance.safety.digits import Numbers, read_numbers
from appliance.safety.personal_numbers import Found, find_numbers, national
from appliance.safety.spelt_codes import find_codes
from appliance.safety.tokens import tokens

KINDS = ("card", "aadhaar", "pan", "otp", "account", "phone")
GROWING_LABEL = "[number]"
"""In place of digits that are still being said: nobody knows yet what they are."""
FEWEST_GROWING_DIGITS = 3
_ORDER = {kind: at for at, kind in enumerate(KINDS)}


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
        spans = [Span(f.kind, f.begin, f.end) for f in self.find(text, before)]
        if growing and self._kinds:
            spans += self._at_the_end(text, spans)
        return labelled(text, spans)

    def find(self, text: str, before: str = "") -> list[Found]:
        """The personal data in ``text``, in order; no two overlap."""
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
        return _apart(_repeated(numbers, found))

    def _is_known(self, found: Found) -> bool:
        if found.kind not in ("phone", "account") or not self._known:
            return False
        number = national(found.digits)
        return any(number in _numbers_of(text, self._language) for text in self._known)

    def _at_the_end(self, text: str, spans: Sequence[Span]) -> list[Span]:
        runs = read_numbers(text, self._language).runs
        if not runs or any(span.begin <= runs[-1].begin < span.end for span in spans):
            return []
        last = runs[-1]
        ends = not tokens(text[last.end :])
        if ends and len(last.digits) >= FEWEST_GROWING_DIGITS:
            return [Span(GROWING_LABEL, last.begin, last.end)]
        return []


def warm(language: str = "en") -> None:
    """Build the tables that the first text would wait for (some 40 ms)."""
    Redactor(KINDS, language, ("1800 425 1234",)).redact("my pin is 1234, call +91 98765 43210")


def labelled(text: str, spans: Sequence[Span]) -> Redacted:
    """``text`` with a label in place of each span."""
    out, at = [], 0
    ordered = tuple(sorted(spans, key=lambda span: span.begin))
    for span in ordered:
        label = span.kind if span.kind == GROWING_LABEL else f"[{span.kind}]"
        out += [text[at : span.begin], label]
        at = span.end
    return Redacted("".join([*out, text[at:]]), ordered)


def _repeated(numbers: Numbers, found: list[Found]) -> list[Found]:
    """What was found, and the same digits where they are said again without a cue."""
    secret = {f.digits: f.kind for f in found if f.digits}
    more = [
        Found(secret[run.digits], run.begin, run.end, run.digits)
        for run in numbers.runs
        if run.digits in secret
    ]
    return [*found, *more]


def _apart(found: Iterable[Found]) -> list[Found]:
    """Overlapping finds joined: the kind is that of the first in :data:`KINDS`."""
    apart: list[Found] = []
    for one in sorted(found, key=lambda f: (f.begin, -f.end)):
        if apart and one.begin < apart[-1].end:
            last = apart[-1]
            kind = min(one.kind, last.kind, key=_ORDER.__getitem__)
            longer = max(one, last, key=lambda f: f.end - f.begin)
            apart[-1] = Found(kind, last.begin, max(last.end, one.end), longer.digits)
        else:
            apart.append(one)
    return apart


@lru_cache(512)
def _numbers_of(text: str, language: str) -> frozenset[str]:
    """The telephone and account numbers that stand in a text, in the form of ``national``."""
    runs = read_numbers(text, language).runs
    pieces = [p.digits for run in runs for p in run.pieces]
    return frozenset(national(d) for d in (*(run.digits for run in runs), *pieces) if len(d) >= 5)
