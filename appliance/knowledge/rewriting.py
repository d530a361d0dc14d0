"""A follow-up made whole: "and how much is it?" with what "it" is, from the turns before.

By rules over closed word classes (:mod:`appliance.knowledge.followup_words`), in some 20 µs: a language
model would rewrite better and cost a call 200 ms before its search can begin. What is no follow-up by
these rules is returned as it was said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from appliance.knowledge.followup_words import SmallWords, small_words
from appliance.speech.sentences import sentences
from appliance.spelling import JOINERS, MARKS

TURNS = 6
"""Earlier turns that are looked at: a topic older than that is not what "it" means."""
TOPIC_WORDS = 14
"""Kept of the question that a topic comes from."""
DETAIL_WORDS = 5
"""Kept of what a follow-up adds to it; the next one replaces it, so nothing grows."""
OFFER_WORDS = 12
LONGEST_FOLLOW_UP = 14
"""Words; who says more has said what it is about."""
MOST_TOPICAL = 4
"""Words of topic in a follow-up."""
HEARD_CHARS = 1000
"""Of an answer; a longer one is looked at no further."""
LISTED_WORDS = 2
"""Words of topic in one item of a list; more of them are a clause."""
MOST_ANTECEDENT = 2
"""With more words of topic before a pronoun it means these, not an earlier turn."""

_WORD = re.compile(f"(?:[^\\W_]|[{MARKS}{JOINERS}'’-])+")
# "is it possible to move", "how long does it take to install": this "it" stands for what follows.
_EXPLETIVE = re.compile(r"\b(?:it|that)\b(?:\s\w+){0,3}\s(?:to|if|when|that)\s(?:\w+\s)*\w{3,}")
_THERE_IS = re.compile(
    r"\b(?:is|are|was|were|will|if|isn't|aren't)\sthere\b|\bthere('s|\sis|\sare|\swill|\swas)\b"
    r"|\bthere$(?<=are there)"
)
# "a router that I bought", "I heard that you": "that" opens a clause.
_CLAUSE = re.compile(
    r"\b(?!do\b|is\b|does\b|about\b|and\b|in\b|of\b|for\b)\w+\sthat\s(?:i|you|we|the|my|is|are|has)\b"
)
_TIME_IT_IS = re.compile(r"\b(?:this|that)\s(?:is|was)\b.*\b(?:calling|speaking|my name)\b")


class _Kind(Enum):
    WHOLE = "whole"
    """Says itself what it is about."""
    SMALL_TALK = "small talk"
    """About nothing: hello, who are you."""
    REFERS = "refers"
    """Asks something new of the old topic: how much is it."""
    INSTEAD = "instead"
    """Asks the old thing of something new: and on Sundays; what about the gold plan."""
    AGREES = "agrees"
    """Takes what the agent has offered."""
    PICKS = "picks"
    """Names one of what the agent has listed: the second one."""


@dataclass(frozen=True, slots=True)
class _Topic:
    """What is being talked about after a turn."""

    question: tuple[str, ...] = ()
    """Words of the caller's last question that stood for itself."""
    asked: tuple[str, ...] = ()
    """Words of what was asked of it since, without the pronoun: how do I change."""
    detail: tuple[str, ...] = ()
    heard: str = ""
    """What the agent has said last."""


def rewrite(said: str, earlier: Sequence[tuple[str, str]], language: str) -> str:
    """``said`` as a question that stands for itself, for searching.

    ``earlier``: what the caller said and what they heard in answer, the latest last. ``language``: BCP
    47; of one that has no rules, and of a question that needs none, it is ``said`` unchanged. It is
    never longer than ``said`` and some twenty words.
    """
    small = small_words(language)
    if small is None or not earlier:
        return said
    topic = _Topic()
    for before, heard in earlier[-TURNS:]:
        _, topic = _follow(before, topic, small)
        topic = replace(topic, heard=heard[:HEARD_CHARS])
    text, _ = _follow(said, topic, small)
    return text


def _follow(said: str, topic: _Topic, small: SmallWords) -> tuple[str, _Topic]:
    """``said`` made whole by ``topic``, and the topic after it."""
    words = _words(said)
    kind = _kind(words, small, topic)
    own = _topical(words, small)
    if kind in (_Kind.REFERS, _Kind.INSTEAD) and own and not topic.question and not topic.heard:
        kind = _Kind.WHOLE  # there is nothing that it could refer to
    match kind:
        case _Kind.WHOLE:
            return said, _Topic(tuple(words[-TOPIC_WORDS:]))
        case _Kind.SMALL_TALK:
            return said, topic
        case _Kind.AGREES:
            offer = _offer(topic.heard, small)
            return (" ".join(offer), _Topic(offer)) if offer else (said, topic)
        case _Kind.PICKS:
            picked = _picked(words, topic.heard, small)
            rest = [word for word in _topical(topic.question, small) if word not in picked]
            return _joined(said, [*picked, *rest]), replace(topic, detail=tuple(picked))
        case _Kind.INSTEAD:
            return _instead(said, words, own, topic, small)
        case _Kind.REFERS:
            return _referring(said, words, own, topic, small)


def _referring(
    said: str, words: list[str], own: list[str], topic: _Topic, small: SmallWords
) -> tuple[str, _Topic]:
    """What is asked now, with what it is asked of."""
    core, _ = _core(words, small)
    about = _about(topic, small)
    if small.also.intersection(words) and len(about) > 1 and own:  # "can I pause it instead"
        about = about[1:]
        topic = _Topic((*own[:DETAIL_WORDS], *about), heard=topic.heard)
    asked = tuple(word for word in core if word not in small.refers)[:TOPIC_WORDS]
    text = _joined(said, [word for word in about if word not in words])
    return text, replace(topic, asked=asked)


def _instead(
    said: str, words: list[str], own: list[str], topic: _Topic, small: SmallWords
) -> tuple[str, _Topic]:
    """The question before, with what is named now in the place of what was."""
    core, _ = _core(words, small)
    detail = tuple(own[:DETAIL_WORDS])
    if topic.asked and core[0] in small.owns:  # "how do I change it", "and my phone number?"
        return _joined(said, topic.asked), replace(topic, question=tuple(core), detail=())
    question = topic.question or tuple(_topical(_words(topic.heard), small)[:OFFER_WORDS])
    left, place = _without_rival(question, words, own, small)
    if place is not None:
        put = [word for word in own if word not in left]
        return " ".join((*left[:place], *put, *left[place:])), replace(
            topic, question=(*left[:place], *put, *left[place:])[:TOPIC_WORDS], detail=()
        )
    text = _joined(said, [word for word in (*left, *topic.asked) if word not in own])
    return text, replace(topic, detail=detail)


def _without_rival(
    question: tuple[str, ...], words: list[str], own: list[str], small: SmallWords
) -> tuple[tuple[str, ...], int | None]:
    """``question`` without what the new words replace, and the place of that: "home" in "the home
    plan" before "the family plan" or "the family one"."""
    stands_in = bool(small.stand_ins & set(words)) or (len(own) == 1 and words[-2:-1] == ["the"])
    gone: set[int] = set()
    for place, word in enumerate(question[:-1]):
        after = question[place + 1]
        before = question[place - 1] if place else ""
        if word in small.small or word in own or after in small.small:
            continue
        if after in own and own.index(after) > 0:
            gone.add(place)
        elif stands_in and after not in own and (before in small.owns):
            gone.add(place)
    left = tuple(word for place, word in enumerate(question) if place not in gone)
    return left, min(gone, default=None)


def _about(topic: _Topic, small: SmallWords) -> list[str]:
    """The words of the topic; of the answer heard where no question has named one."""
    question = _topical(topic.question, small)
    words = [*topic.detail, *(word for word in question if word not in topic.detail)]
    return words or _topical(_words(topic.heard), small)[:OFFER_WORDS]


def _kind(words: list[str], small: SmallWords, topic: _Topic) -> _Kind:
    core, joined = _core(words, small)
    own = _topical(core, small)
    if _agrees(words, small):
        return _Kind.AGREES
    if len(words) > LONGEST_FOLLOW_UP or len(own) > MOST_TOPICAL:
        return _Kind.WHOLE
    if _picks(core, small) and _picked(core, topic.heard, small):
        return _Kind.PICKS
    is_sentence = bool(small.verbs.intersection(core) or small.addresses.intersection(core))
    of_another = _asks_about(words, small) or (joined and small.stand_ins.intersection(core))
    if own and of_another and not is_sentence:
        return _Kind.INSTEAD  # "what about the gold plan", "and the red one"
    if _refers(core, small):
        return _Kind.REFERS
    if not own:
        return _without_topic(core, small)
    asks = bool(small.asks.intersection(core))
    named = small.owns.union(small.addresses).intersection(core)
    if joined and asks and len(own) == 1 and not named:
        return _Kind.REFERS  # "and how much time", "और कितना पैसा लगेगा"
    if is_sentence or (asks and len(own) > 1):
        return _Kind.INSTEAD if _is_more(core, own, small) else _Kind.WHOLE
    if joined or asks or _is_piece(core, small) or topic.heard.rstrip().endswith("?"):
        return _Kind.INSTEAD
    return _Kind.WHOLE


def _without_topic(core: list[str], small: SmallWords) -> _Kind:
    """Of an utterance that names nothing: how much; what do I need; who are you; hello."""
    asks = small.asks.intersection(core)
    if not asks or small.addresses.intersection(core):
        return _Kind.SMALL_TALK
    return _Kind.REFERS


def _is_more(core: list[str], own: list[str], small: SmallWords) -> bool:
    """ "Is Sunday too": a sentence, yet the same question of something else."""
    return bool(small.also.intersection(core)) and len(own) <= MOST_ANTECEDENT - 1


def _is_piece(core: list[str], small: SmallWords) -> bool:
    """No sentence: "on Sundays", "रविवार को", "by card"."""
    edges = {core[0], core[-1]}
    return bool(edges & small.places_it) or bool(small.also & set(core))


def _core(words: list[str], small: SmallWords) -> tuple[list[str], bool]:
    """``words`` without what only opens them, and whether that joins them to what was before."""
    place, joined = 0, False
    while place < len(words) - 1 and words[place] in small.joins | small.agrees - small.verbs:
        joined = joined or words[place] in small.joins
        place += 1
    return words[place:], joined


def _agrees(words: list[str], small: SmallWords) -> bool:
    agreed = [word for word in words if word in small.agrees]
    firm = [word for word in agreed if word not in small.verbs and word not in small.others]
    rest = set(words) - small.agrees - small.others - small.verbs - small.refers - small.addresses
    return bool(firm or (agreed and len(agreed) == len(words))) and not rest


def _asks_about(words: list[str], small: SmallWords) -> bool:
    text = f" {' '.join(words)} "
    return any(f" {phrase} " in text for phrase in small.about)


def _picks(core: list[str], small: SmallWords) -> bool:
    return any(word in small.places for word in core) and len(core) <= LONGEST_FOLLOW_UP // 2


def _refers(core: list[str], small: SmallWords) -> bool:
    """Whether a pronoun stands for something that this utterance itself does not name."""
    text = " ".join(core)
    for pattern in (_EXPLETIVE, _CLAUSE, _TIME_IT_IS):
        if pattern.search(text):
            return False
    text = _THERE_IS.sub(" ", text)
    left = _words(text)
    if left[:1] == ["which"] and left[1:2] and left[1] in ("is", "are", "has"):
        return True  # "which is the fastest"
    for place, word in enumerate(left):
        if word in small.refers:
            within = left[place - 1 : place] == ["of"]  # "a copy of it"
            return within or not _names_before(left[:place], small)
        if word in small.stand_ins and _after_a_pointer(left, place, small):
            begin = max((p for p in range(place) if left[p] in small.owns), default=place)
            return not _names_before(left[:begin], small)
    return False


def _after_a_pointer(words: list[str], place: int, small: SmallWords) -> bool:
    """ "The cheaper one", "which one"; not "one month"."""
    return place > 0 and (place == len(words) - 1 or words[place - 1] in small.asks | small.owns)


def _names_before(words: list[str], small: SmallWords) -> bool:
    """Whether a pronoun after ``words`` means something in them: "my line is dead, can I test it"."""
    topical = [place for place, word in enumerate(words) if word not in small.small]
    if len(topical) > MOST_ANTECEDENT:
        return True
    owned = any(place and words[place - 1] in small.owns for place in topical)
    return owned and (len(words) > 1)


def _offer(heard: str, small: SmallWords) -> tuple[str, ...]:
    """The words of topic in the question that the agent ended with; empty where it asked none."""
    last = sentences(heard)[-1:]
    if not last or not last[0].endswith(("?", "؟")):
        return ()
    words = _words(last[0])
    return tuple(words[-OFFER_WORDS:]) if _topical(words, small) else ()


def _picked(words: list[str], heard: str, small: SmallWords) -> list[str]:
    """The words of the item that an ordinal means in the last list of ``heard``; or none."""
    place = next((small.places[word] for word in words if word in small.places), None)
    if place is None:
        return []
    for sentence in reversed(sentences(heard)):
        items = _listed(sentence, small)
        if len(items) > 1 and place < len(items):
            return items[place][:DETAIL_WORDS]
    return []


def _listed(sentence: str, small: SmallWords) -> list[list[str]]:
    """The list that a sentence ends with: "… three plans, called Home, Family and Office"."""
    ands = "|".join(map(re.escape, sorted(small.joins - small.refers)))
    items: list[list[str]] = []
    for piece in reversed(re.split(rf"\s*,\s*(?:(?:{ands})\s+)?|\s+(?:{ands})\s+", sentence)):
        words = _words(piece)
        named = _topical(words, small)
        if small.verbs.intersection(words) or len(named) > LISTED_WORDS:
            if len(items) > 1 or not named:
                break
            items.clear()  # a clause after the list, or no list at all
            continue
        if named:
            items.insert(0, named)
    if len(items) > 1:  # "called Home": the name comes last, and is as long as the next one
        items[0] = items[0][-len(items[1]) :]
    return items


def _topical(words: Sequence[str], small: SmallWords) -> list[str]:
    """The words that carry topic, each once."""
    left = (w for w in words if w not in small.small and w not in small.places)
    return list(dict.fromkeys(left))


def _joined(said: str, words: Sequence[str]) -> str:
    return f"{said.strip()} {' '.join(words)}".strip() if words else said


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFC", text).casefold().replace("’", "'")
    return [word.strip("'-") for word in _WORD.findall(folded) if word.strip("'-")]
