"""What is kept of turns without a language model: what the caller said, word for word."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.call.facts import has_figure
from appliance.call.oneline import one_line

LONGEST_LETTERS = 1500
"""Of all that is remembered in words: some 120 words of an Indic language, with room."""
LONGEST_SAID_LETTERS = 160
FEWEST_WORDS = 2
"""Less is a yes or a no, which means nothing without its question."""
SAID = "The caller said: "


def digest(memory: str, turns: Sequence[tuple[str, str]], language: str = "en") -> str:
    """What is remembered (one statement a line, the newest first) with ``turns`` (said, heard) on
    top of it.

    What does not fit is left out: first what holds no figure, the oldest first. ``language``: the
    agent's (BCP 47).
    """
    lines = [
        SAID + one_line(said, LONGEST_SAID_LETTERS)
        for said, _ in reversed(turns)
        if len(said.split()) >= FEWEST_WORDS
    ]
    lines += [line for line in memory.splitlines() if line]
    return "\n".join(_bounded(list(dict.fromkeys(lines)), language))


def _bounded(lines: list[str], language: str) -> list[str]:
    """As many as fit, in their order."""
    order = sorted(range(len(lines)), key=lambda n: (not _matters(lines[n], language), n))
    kept, letters = set[int](), 0
    for number in order:
        if letters + len(lines[number]) + 1 <= LONGEST_LETTERS:
            kept.add(number)
            letters += len(lines[number]) + 1
    return [line for number, line in enumerate(lines) if number in kept]


def _matters(line: str, language: str) -> bool:
    """A summary that was made before, or a statement with a figure in it."""
    return not line.startswith(SAID) or has_figure(line, language)
