"""What Whisper makes up is taken out of its transcripts: in silence, in loops, from subtitles.

The thresholds are those of Whisper's own transcription (Radford et al. 2022, section 4.5), where it
has one. Guards judge a transcript with the length of the sound it was made of: real callers do say
"thank you".
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.models.agreement import bare
from appliance.models.engine import Words

NO_SPEECH_PROB = 0.6
NO_SPEECH_LOGPROB = -1.0
"""More than the one and less than the other is silence."""
LONGEST_LOOP_WORDS = 8
MOST_REPEATS = 4
"""A phrase said more often than this in a row is Whisper in a loop (``no, no, no`` is a caller)."""
MOST_COMPRESSION = 2.4
"""Of text by zlib: more is a loop with variations."""
SHORTEST_COMPRESSED_LETTERS = 40
"""A short text says nothing about how repetitive it is."""
PHANTOM_SOUND_MS = 240
"""A phrase of the list below takes longer to say; from less sound it was made up."""
PHANTOMS = {
    "en": ("thank you", "thanks for watching", "thank you for watching", "you", "bye",
           "please subscribe", "subscribe", "subtitles by the amara org community"),
    "hi": ("धन्यवाद", "देखने के लिए धन्यवाद", "सब्सक्राइब करें", "हैलो", "ओम", "प्रस्तुत्र"),
    "mr": ("धन्यवाद", "पाहिल्याबद्दल धन्यवाद"),
    "ta": ("நன்றி", "நன்றி வணக்கம்"),
    "te": ("ధన్యవాదాలు", "చూసినందుకు ధన్యవాదాలు"),
    "bn": ("ধন্যবাদ", "দেখার জন্য ধন্যবাদ"),
    "kn": ("ಧನ್ಯವಾದಗಳು",),
    "ml": ("നന്ദി",),
    "gu": ("ધન્યવાદ",),
    "pa": ("ਧੰਨਵਾਦ",),
}  # fmt: skip
"""What subtitles end with; English is made up in every language."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model made of some audio; ``logprob`` is the mean of its tokens' (natural log)."""

    text: str
    logprob: float
    no_speech: float
    """Probability that nothing was said."""


def words_of(decoded: Decoded, language: str, sound_ms: int) -> Words:
    """The transcript without what was made up; ``sound_ms``: length of the sound in the audio."""
    silence = decoded.no_speech > NO_SPEECH_PROB and decoded.logprob < NO_SPEECH_LOGPROB
    text = "" if silence else without_loops(decoded.text)
    if sound_ms < PHANTOM_SOUND_MS and is_phantom(text, language):
        text = ""
    if compression(text) > MOST_COMPRESSION:
        text = ""
    if not text:
        return Words("", 0.0)
    return Words(text, round(min(1.0, math.exp(decoded.logprob)), 3))


def is_phantom(text: str, language: str) -> bool:
    """Whether it is one of the phrases that Whisper hears in silence."""
    said = " ".join(bare(word) for word in text.split())
    return said in PHANTOMS["en"] or said in PHANTOMS.get(language, ())


def compression(text: str) -> float:
    """How many times shorter zlib makes it; 0 for a short text and for one with digits."""
    if len(text) < SHORTEST_COMPRESSED_LETTERS or any(map(str.isdigit, text)):
        return 0.0
    # A byte a letter: the three that UTF-8 needs for an Indic one would compress by themselves.
    places = {letter: place for place, letter in enumerate(sorted(set(text)))}
    return len(text) / len(zlib.compress(bytes(places[letter] % 256 for letter in text)))


def without_loops(text: str) -> str:
    """Every phrase that comes more than ``MOST_REPEATS`` times in a row, once; digits stay."""
    words, kept = text.split(), []
    at = 0
    while at < len(words):
        length = _loop_at(words, at)
        if length:
            phrase = words[at : at + length]
            kept += phrase
            while words[at : at + length] == phrase:
                at += length
        else:
            kept.append(words[at])
            at += 1
    return " ".join(kept)


def _loop_at(words: Sequence[str], at: int) -> int:
    """Length in words of the shortest phrase that loops from ``at``, or 0."""
    for length in range(1, LONGEST_LOOP_WORDS + 1):
        phrase = words[at : at + length]
        ends = range(at, at + length * (MOST_REPEATS + 1), length)
        if all(words[i : i + length] == phrase for i in ends) and not _is_number(phrase):
            return length
    return 0


def _is_number(phrase: Sequence[str]) -> bool:
    text = "".join(phrase)
    return any(map(str.isdigit, text)) and not any(map(str.isalpha, text))
