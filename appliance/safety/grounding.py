"""Whether what an agent states has a source: the passages, its own prompt, or the caller.

Facts are compared one by one (:mod:`~appliance.safety.facts`); other words by how many of those that
carry meaning stand in the sources, in any form. That is no entailment: "not free" rests on a passage
that says "free". What a sentence means is for a guard model to judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from appliance.events import Passage
from appliance.languages import primary
from appliance.safety.facts import Fact, Known, facts, known
from appliance.safety.findings import Context
from appliance.safety.units import stop_words
from appliance.safety.wordfold import fold, fold_kept
from appliance.speech.sentences import SENTENCE_ENDS, sentences

FEWEST_WORDS = 4
"""A phrase with fewer words that carry meaning states too little to be judged by them."""
LEAST_SHARE = 0.34
"""Of these words, in the sources; below it the phrase is from somewhere else."""
NO_SHARE = 0.2
"""Below it, it certainly is: stopped where the agent's ``grounding`` stops."""
LONGEST_TAIL = 160
"""Letters of the sentence so far that are looked at with a phrase."""
CITED_SHARE = 0.4
"""Of a sentence's words, in the passage that it rests on."""
CITED_WORDS = 2
MOST_REPLY_LETTERS = 8000
"""Of a reply whose passages are looked for."""
STEM_LETTERS = 5
SCRIPT_LETTERS = 80
"""Looked at to tell the script of a text."""
_PAUSES = ",;:"
_ENDINGS = ("ations", "ation", "ings", "ing", "ers", "er", "ied", "ies", "ed", "es", "s", "e", "y")

_UNKNOWING = re.compile(
    r"""
    \b(?:do\ not|don['’]?t|does\ not|doesn['’]?t|did\ not|cannot|can['’]?t|could\ not|couldn['’]?t
        |unable\ to|not\ able\ to|no|not)\b
        [^.?!]{0,40}\b(?:information|details?|know|find|help|answer|sure|assist|have\ that|access|say
        |share|confirm|discuss|guarantee|promise)\b
    | \b(?:sorry|apolog\w+|unfortunately\ i)\b
    | (?:जानकारी|मालूम|पता|मदद)[^.?!।]{0,20}नहीं | माफ़?\ कीजिए | क्षमा
    | (?:jaankari|jankari|pata|maloom)[^.?!]{0,20}nahi | maaf\ kijiye
    | জানি\ না | তথ্য\ নেই | দুঃখিত | தெரியவில்லை | தகவல்\ இல்லை | மன்னிக்கவும்
    | తెలియదు | సమాచారం\ లేదు | క్షమించండి | माहिती\ नाही | माफ\ करा | માહિતી\ નથી | માફ\ કરશો
    | ಗೊತ್ತಿಲ್ಲ | ಮಾಹಿತಿ\ ಇಲ್ಲ | ಕ್ಷಮಿಸಿ | അറിയില്ല | വിവരം\ ഇല്ല | ക്ഷമിക്കണം
    | ਜਾਣਕਾਰੀ\ ਨਹੀਂ | ਮਾਫ਼\ ਕਰਨਾ | معلوم\ نہیں | معذرت
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""It says that it does not know, or excuses itself."""
_OFFER = re.compile(
    r"""^\W*(?:
    how\ (?:can|may)|what\ (?:else|can)|is\ there|may\ i|can\ i|could\ you|can\ you|would\ you|shall\ i
    |let\ me|i\ can|i\ will|i['’]?ll|i\ am|i['’]?m|please\b|[^,]{3,60},\ please\b
    |thank|thanks|hello|hi\b|good\ (?:morning|afternoon|evening)|welcome|you['’]?re\ welcome|goodbye|bye
    |of\ course|sure|certainly|okay|ok\b|alright|one\ moment|great
    |namaste|नमस्ते|धन्यवाद|शुक्रिया|स्वागत|क्या\ आप|क्या\ मैं|मैं\ आपकी)""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Ungrounded:
    """What of a phrase has no source."""

    facts: tuple[Fact, ...]
    share: float | None
    """Of its words that carry meaning, in the sources; None: not judged."""


def ungrounded(phrase: str, context: Context) -> Ungrounded:
    """Look for the sources of ``phrase``. What a number counts may follow in the next phrase, so one
    at the very end of an unfinished clause is looked at then."""
    language = primary(context.agent.language)
    tail = unfinished(context.before)
    window = f"{tail} {phrase}" if tail else phrase
    judged = _judged(tail, language)
    stated = [fact for fact in _judged(window, language) if fact not in judged]
    sources: list[Known] = []
    missing = []
    if stated:
        sources = [known(text, language) for text in texts_of(context)]
        missing = [f for f in stated if not any(source.holds(f) for source in sources)]
    return Ungrounded(tuple(missing), _support(window, context))


def learn(context: Context) -> None:
    """Read the texts that an answer may rest on, for the phrases to come."""
    language = primary(context.agent.language)
    for text in texts_of(context):
        known(text, language)
        _stems(text)


def unfinished(before: str) -> str:
    """The last, unfinished sentence of what was said before; empty when it ended."""
    before = before.rstrip()
    if not before or before[-1] in SENTENCE_ENDS:
        return ""
    start = max(before.rfind(end) for end in SENTENCE_ENDS) + 1
    tail = before[start:]
    return tail[-LONGEST_TAIL:].partition(" ")[2] if len(tail) > LONGEST_TAIL else tail.lstrip()


def _judged(text: str, language: str) -> list[Fact]:
    """The facts of ``text`` but for a number at its very end that may go on."""
    if not text:
        return []
    found = list(facts(text, language))
    end = text.rstrip(_PAUSES + " ")
    if text.rstrip()[-1:] not in SENTENCE_ENDS:
        found = [f for f in found if f.kind == "address" or not end.endswith(f.phrase)]
    return found


def texts_of(context: Context) -> list[str]:
    """Every text that an answer may rest on, but for the passages' own first."""
    agent = context.agent
    found = [p.whole for p in context.passages]
    found += [agent.prompt, agent.name, *agent.fixed_phrases, context.said, context.memory]
    for said, heard in context.talk:
        found += [said, heard]
    return [text for text in found if text]


def _support(window: str, context: Context) -> float | None:
    """How much of the sentence so far stands in the sources; None where words tell nothing: a
    question, a greeting, an apology, too few words, another script than the passages'."""
    if not is_statement(window):
        return None
    words = _meaning(window)
    if len(words) < FEWEST_WORDS:
        return None
    script = _script(window[:SCRIPT_LETTERS])
    if context.passages and _script(context.passages[0].text[:SCRIPT_LETTERS]) != script:
        return None
    if not context.passages and script != "LATIN":
        return None  # which of its words carry meaning is not known
    if script == "LATIN" and primary(context.agent.language) != "en":
        return None  # a language in Latin letters, and passages in English
    stems = frozenset().union(*(_stems(text) for text in texts_of(context)))
    return sum(word in stems for word in words) / len(words)


def is_statement(text: str) -> bool:
    """Whether ``text`` states something: no question, offer, greeting, apology, refusal."""
    return not (text.rstrip().endswith("?") or _OFFER.search(text) or _UNKNOWING.search(text))


def _meaning(text: str) -> list[str]:
    """The stems of the words of ``text`` that carry meaning."""
    return [stem(w) for w in fold(text).words if _carries(w)]


def _carries(word: str) -> bool:
    return len(word) > 2 and word not in stop_words() and not word.isdecimal()


@lru_cache(maxsize=2048)
def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in fold_kept(text).words)


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """The first letters of a word: enough for its forms to meet, in a language of endings too."""
    if word.isascii():
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                word = word[: -len(ending)]
                break
    return word[:STEM_LETTERS]


@lru_cache(maxsize=2048)
def _script(text: str) -> str:
    """Of most letters, by Unicode's names of them."""
    counts: dict[str, int] = {}
    for letter in text:
        if letter.isalpha():
            name = _script_of(letter)
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=counts.__getitem__) if counts else ""


@lru_cache(maxsize=4096)
def _script_of(letter: str) -> str:
    return unicodedata.name(letter, "?").partition(" ")[0]


def cited(reply_text: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The same passages, ``cited`` set on those that the reply rests on.

    For each sentence that states something: every passage that holds a fact of it which not all of
    them hold, and the one that holds most of its words.
    """
    if not passages or not reply_text.strip():
        return tuple(replace(p, cited=False) for p in passages)
    marked: set[int] = set()
    for sentence in sentences(reply_text[:MOST_REPLY_LETTERS]):
        if not _UNKNOWING.search(sentence):
            marked |= _rests_on(sentence, passages)
    return tuple(replace(p, cited=number in marked) for number, p in enumerate(passages))


def _rests_on(sentence: str, passages: Sequence[Passage]) -> set[int]:
    words = set(_meaning(sentence))
    stated = facts(sentence)
    best, best_score = -1, 0.0
    for number, passage in enumerate(passages):
        text = passage.whole
        share = len(words & _stems(text)) / len(words) if words else 0.0
        enough = len(words & _stems(text)) >= min(CITED_WORDS, len(words)) and share >= CITED_SHARE
        held = sum(known(text).holds(fact) for fact in stated)
        score = (share if enough else 0.0) + held / len(stated) if stated else share * enough
        if score > best_score:
            best, best_score = number, score
    marked = {best} if best >= 0 else set()
    for fact in stated:
        holders = _holders(fact, passages)
        if len(holders) == 1:
            marked |= holders
    return marked


def _holders(fact: Fact, passages: Iterable[Passage]) -> set[int]:
    return {n for n, p in enumerate(passages) if known(p.whole).holds(fact)}
