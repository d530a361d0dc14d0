"""Facts about the caller, found in their words by rules: at once, in every turn.

Only what is said plainly is found: a name after "my name is", a figure beside its label ("my order
number is 4 5 6 7"). The language model finds the rest when it writes the summary
(``call/notes.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance.call.introductions import INTRODUCTIONS, Introductions
from appliance.call.oneline import one_line
from appliance.languages import primary
from appliance.safety.digits import Run, read_numbers
from appliance.speech.patterns import END, START

LONGEST_FACT_LETTERS = 80
MOST_SAID_LETTERS = 600
"""Of a turn is looked at, 40 s of speech: this runs on the call's event loop."""
MOST_NAME_WORDS = 3
OPEN_NAME_WORDS = 2
"""Of a name that no known word ends."""
FEWEST_DIGITS = 3
"""Fewer are no number that identifies anything."""
LONGEST_GAP_WORDS = 4
"""Between a label and its figure: "number", "is", "it is"."""

_WORD = re.compile(r"[^\s,.;:!?।\"()]+|[,.;:!?।]")
_MARKS = frozenset(",.;:!?।")
_NAME_SLOTS = re.compile(r"\b(?:own|caller's|caller’s|full|customer's) name\b|^name$")
_NUMBER_SLOTS = re.compile(
    r"number|\bno\b|\bid\b|code|\bpin\b|phone|mobile|account|reference|ticket|नंबर|संख्या|क्रमांक|"
    r"নম্বর|નંબર|ਨੰਬਰ|எண்|నంబర్|సంఖ్య|ಸಂಖ್ಯೆ|ನಂಬರ್|നമ്പർ"
)
_FILLERS = frozenset(
    "number no is was it it's the my of are and code id है मेरा मेरी नंबर संख्या hai mera "
    "आहे নম্বর হল હલો નંબર છે ਨੰਬਰ ਹੈ எண் నంబర్ ನಂಬರ್ ನಂಬರ ನಂಬರು നമ്പർ ആണ്".split()
)
_WRITTEN = re.compile(r"[A-Za-z0-9]+(?:[-/][A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class _Code:
    """A figure of the text, at ``[begin, end)``."""

    text: str
    begin: int
    end: int


def find_facts(said: str, slots: Mapping[str, str], language: str) -> dict[str, str]:
    """The ``slots`` (name -> what belongs there) that these words of the caller fill.

    A value is as it was said, but for digits, which are written as digits. ``language`` is the
    agent's (BCP 47); English is understood beside it.
    """
    said = said[:MOST_SAID_LETTERS]
    words = _WORD.findall(said)
    folded = [word.casefold() for word in words]
    found = {}
    for slot, description in slots.items():
        kind = f"{slot} {description}".casefold()
        if _NAME_SLOTS.search(slot.casefold()) or _NAME_SLOTS.search(description.casefold()):
            value = _name(words, folded, language)
        elif _NUMBER_SLOTS.search(kind):
            value = _number(said, slot, language)
        else:
            continue
        if value:
            found[slot] = one_line(value, LONGEST_FACT_LETTERS)
    return found


def has_figure(text: str, language: str = "en") -> bool:
    """Whether a number of three digits or more is named, in digits or in words."""
    return any(len(run.digits) >= FEWEST_DIGITS for run in read_numbers(text, language).runs)


def _name(words: Sequence[str], folded: Sequence[str], language: str) -> str:
    """The name that the caller gives as theirs; the last one, which may correct the first."""
    known = [INTRODUCTIONS[code] for code in {primary(language), "en"} if code in INTRODUCTIONS]
    no_name = frozenset[str]().union(*(own.no_name for own in known))
    last, last_at = "", -1
    for own in known:
        for at, needs_end in _openings(folded, own):
            size = _size(folded, at, own, no_name, needs_end=needs_end)
            if size and at > last_at:
                last, last_at = " ".join(words[at : at + size]), at
    return last


def _openings(folded: Sequence[str], own: Introductions) -> Iterator[tuple[int, bool]]:
    """Where a name may begin, and whether a known end must follow it."""
    text = f" {' '.join(folded)} "
    for phrases, needs_end in ((own.before, False), (own.before_if, True)):
        for phrase in phrases:
            begin = text.find(f" {phrase} ")
            while begin >= 0:
                end = begin + len(phrase) + 1
                yield text.count(" ", 0, end), needs_end
                begin = text.find(f" {phrase} ", end)


def _size(
    folded: Sequence[str], at: int, own: Introductions, no_name: frozenset[str], *, needs_end: bool
) -> int:
    """How many words from ``at`` on are a name; 0 for none."""
    size = 0
    while at + size < len(folded) and size <= MOST_NAME_WORDS:
        word = folded[at + size]
        if word in own.after:
            return size if size <= MOST_NAME_WORDS else 0
        doing = needs_end and word.endswith("ing")  # "I am having trouble calling"
        if doing or word in no_name or word in _MARKS or any(c.isdigit() for c in word):
            return 0 if needs_end else min(size, MOST_NAME_WORDS)
        size += 1
    if needs_end:
        return 0
    return size if at + size == len(folded) and size <= MOST_NAME_WORDS else OPEN_NAME_WORDS


def _number(text: str, slot: str, language: str) -> str:
    """The figure behind the slot's label, or right before it ("4567 is my order number")."""
    parts = slot.casefold().replace("_", " ").replace("-", " ").split()
    parts = [part for part in parts if part not in _FILLERS] or parts
    label = re.compile(START + r"\s+".join(map(re.escape, parts)) + END)
    places = [match.span() for match in label.finditer(text.casefold())]
    if not places:
        return ""
    codes = [c for r in read_numbers(text, language).runs if (c := _code(text, r)) is not None]
    found = ""
    for begin, end in places:
        after = [c for c in codes if c.begin >= end and _is_filled(text[end : c.begin])]
        before = [c for c in codes if c.end <= begin and _is_filled(text[c.end : begin])]
        if near := after[:1] or before[-1:]:
            found = near[0].text
    return found


def _is_filled(between: str) -> bool:
    """Whether only such words stand there as stand between a label and its figure."""
    words = [word.casefold() for word in _WORD.findall(between)]
    return len(words) <= LONGEST_GAP_WORDS and all(w in _FILLERS or w in _MARKS for w in words)


def _code(text: str, run: Run) -> _Code | None:
    """A run that may identify something: its digits, or all of it where it was written in one
    with letters ("A-1234"); of a run that the speaker corrected, what came last."""
    whole = next((m for m in _WRITTEN.finditer(text) if m.start() <= run.begin < m.end()), None)
    if whole is not None and whole.end() >= run.end and any(map(str.isalpha, whole.group())):
        return _Code(whole.group(), whole.start(), whole.end())
    pieces = run.pieces[run.corrections[-1] :] if run.corrections else run.pieces
    digits = "".join(piece.digits for piece in pieces)
    if len(digits) < FEWEST_DIGITS:
        digits = run.digits
    return _Code(digits, run.begin, run.end) if len(digits) >= FEWEST_DIGITS else None
