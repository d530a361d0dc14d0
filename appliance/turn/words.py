"""What words mean for turn taking: the same question, a backchannel, a farewell."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from appliance.languages import primary

_MARKS = "".join(c for c in map(chr, range(0x300, 0x2000)) if unicodedata.category(c)[0] == "M")
"""Vowel signs and the like, which ``\\w`` leaves out: "बिल" would fall apart and equal "बल"."""
_LETTER = rf"[^\W_]|[{_MARKS}\u200c\u200d]"
_WORD = re.compile(rf"(?:{_LETTER})+(?:['’-](?:{_LETTER})+)*")
_FILLERS = frozenset("uh um er erm ah eh please अच्छा".split())
# Hardly any sentence ends on these. Prepositions and auxiliaries are left out: many questions do
# ("what is it for", "which plans do you have").
_DANGLING = {
    "en": frozenset(
        "a an the my your our their and or but because if of from into than does whose i'm the "
        "every very uh um er".split()
    ),
    "hi": frozenset("और या लेकिन कि क्योंकि अगर का की के मेरा मेरी मेरे आपका आपकी".split()),
}
# Words that do end a turn when it is no longer than they are ("how", "what", "can I").
_SHORTEST_DANGLING_TURN_WORDS = 2
LONGEST_FAREWELL_WORDS = 8
"""A longer turn that holds a "bye" somewhere is a question ("how do I say goodbye to my plan")."""


def normal(text: str) -> tuple[str, ...]:
    """The words of ``text``, folded, without punctuation and fillers."""
    return tuple(w for w in _WORD.findall(text.casefold()) if w not in _FILLERS)


def same_meaning(a: str, b: str) -> bool:
    """Whether a reply to ``a`` also answers ``b``: the same words but for fillers."""
    return normal(a) == normal(b)


def holds(text: str, phrase: str) -> bool:
    """Whether the words of ``phrase`` (if it has any) stand in ``text``, one after the other."""
    words = normal(phrase)
    return bool(words) and f" {' '.join(words)} " in f" {' '.join(normal(text))} "


def dangles(text: str, language: str) -> bool | None:
    """Whether the words break off where no sentence ends ("how much does the").

    None where that is not known: no words, or no list for the language (BCP 47).
    """
    known = _DANGLING.get(primary(language))
    words = _WORD.findall(text.casefold())
    if known is None or not words:
        return None
    return len(words) >= _SHORTEST_DANGLING_TURN_WORDS and words[-1] in known


def silence_to_wait(
    complete: float, dangling: bool | None, complete_ms: int, incomplete_ms: int
) -> int:
    """How much silence (ms) ends a turn that sounds complete with probability ``complete`` (0-1)
    and whose words do or do not break off in mid-sentence.

    Sound and words that agree decide; where they do not, half of the long wait is spent: the judge
    errs often on a telephone line, and a recogniser's words may lack the last one.
    """
    sounds_complete = complete >= 0.5
    if sounds_complete and not dangling:
        return complete_ms
    if sounds_complete or dangling is False:
        return max(complete_ms, incomplete_ms // 2)
    return incomplete_ms


def is_backchannel(text: str, backchannels: Sequence[str]) -> bool:
    """Whether ``text`` is no more than a listener's "mm-hm" (or nothing at all)."""
    known = {word for phrase in backchannels for word in normal(phrase)}
    return all(word in known for word in normal(text))


def is_farewell(text: str, farewells: Sequence[str]) -> bool:
    """Whether the caller wants to end the call: one of ``farewells`` as whole words."""
    return _holds_one_of(text, farewells)


def asks_for_person(text: str, transfer_words: Sequence[str]) -> bool:
    """Whether the caller wants to speak to a person: one of ``transfer_words`` as whole words."""
    return _holds_one_of(text, transfer_words)


def _holds_one_of(text: str, phrases: Sequence[str]) -> bool:
    """Whether a short turn holds one of ``phrases``."""
    if len(normal(text)) > LONGEST_FAREWELL_WORDS:
        return False
    return any(holds(text, phrase) for phrase in phrases)
