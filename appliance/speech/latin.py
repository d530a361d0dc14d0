"""English words in Indic text -> the script of the voice: a lexicon, else letters to sounds.

The voices of Indian languages know no Latin letter and skip it, so a word spelt roughly is better than
one that is not heard at all.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from appliance.speech.language import Language
from appliance.speech.lexicon import LETTER_NAMES, LEXICON
from appliance.speech.scripts import written_in

LONGEST_WORD = 40
"""Letters; what is longer is no word, and is cut."""

# Sounds between letters and the pivot: consonants stand as themselves (Devanagari), vowels as
# a schwa, A ा, i ि, I ी, u ु, U ू, e े, o ो, O ॉ, Y "ाइ", W "ाउ", E ॆ.
_VOWELS = {
    "a": ("अ", ""), "A": ("आ", "ा"), "i": ("इ", "ि"), "I": ("ई", "ी"), "u": ("उ", "ु"), "U": ("ऊ", "ू"),
    "e": ("ए", "े"), "o": ("ओ", "ो"), "O": ("ऑ", "ॉ"), "Y": ("आइ", "ाइ"), "W": ("आउ",
    "ाउ"), "E": ("ऎ", "ॆ"),
}  # fmt: skip
_CONTEXTS = tuple(
    (re.compile(pattern), sounds)
    for pattern, sounds in (
        (r"([bdfgjklmnprstvz])\1", r"\1"),
        (r"a([bcdfgklmnpstvz])e(?=s?$)", r"ए\1"),
        (r"i([bcdfgklmnpstvz])e(?=s?$)", r"Y\1"),
        (r"o([bcdfgklmnpstvz])e(?=s?$)", r"ओ\1"),
        (r"u([bcdfgklmnpstvz])e(?=s?$)", r"ऊ\1"),
        (r"(?<=[bcdfgklmnprstvz])le$", "ल"),
        (r"(?<=..)(?<=[bcdfgjklmnprstvzYएओऊ])e$", ""),
        (r"(?<=..)y$", "I"),
        (r"(?<=[bcdfghjklmnprstvz])y(?=[bcdfghjklmnprstvz])", "i"),
        (r"ia", "iयA"),
        (r"o(?=[bdgjklmnprstv][aeiouAI])", "ओ"),
        (r"^kn", "n"),
        (r"^wr", "r"),
        (r"^x", "z"),
        (r"c(?=[eiy])", "s"),
        (r"g(?=[ey])", "j"),
        (r"a(?=$)", "A"),
        (r"o(?=$)", "ओ"),
    )
)
_GRAPHEMES = {
    "tion": "शaन", "sion": "शaन", "cian": "शaन", "ture": "चaर", "tch": "च",
    "sch": "सक", "ngh": "ंघ", "igh": "Y", "eigh": "ए",
    "ough": "O", "augh": "O", "sh": "श", "ch": "च", "th": "थ", "ph": "फ़", "gh": "घ",
    "kh": "ख", "bh": "भ",
    "dh": "ध", "jh": "झ", "wh": "व", "ck": "क", "qu": "कव", "ng": "ंग", "nk": "ंक", "ee": "I", "ea": "I",
    "oo": "U", "ou": "W", "ow": "W", "oa": "ओ", "ai": "ऐ", "ay": "ए", "ei": "ए", "ey": "ए", "au": "औ",
    "aw": "O", "ie": "I", "oi": "Oइ", "oy": "Oय", "ew": "यU", "ue": "U", "aa": "A",
    "ii": "I", "uu": "U",
    "er": "aर", "ur": "aर", "ir": "aर", "ar": "Aर", "or": "Oर",
    "a": "A", "b": "ब", "c": "क", "d": "ड", "e": "E", "f": "फ़", "g": "ग", "h": "ह", "i": "i", "j": "ज",
    "k": "क", "l": "ल", "m": "म", "n": "न", "o": "O", "p": "प", "q": "क", "r": "र", "s": "स", "t": "ट",
    "u": "u", "v": "व", "w": "व", "x": "कस", "y": "य", "z": "ज़",
}  # fmt: skip
_WRITTEN_VOWELS = {"ए": "e", "ओ": "o", "ऊ": "U", "ऐ": "ऐ", "औ": "औ"}
_VOWELS |= {"ऐ": ("ऐ", "ै"), "औ": ("औ", "ौ")}
_SPLIT = re.compile(
    "|".join(
        g + "(?![aeiouAI])" if g in ("er", "ur", "ir", "ar", "or") else g
        for g in sorted(_GRAPHEMES, key=len, reverse=True)
    )
    + "|."
)
_NASALS = ((re.compile("न्(?=[कखगघचछजझटठडढतथदध])"), "ं"), (re.compile("म्(?=[पफबभ])"), "ं"))
_CLOSED_A = re.compile(r"a(?=[b-df-hj-np-tv-z]{2}|[b-df-hj-np-tv-z]$)(?!r|w|y|u|i)")
_SOUND = re.compile(r"[क-ह]़?|.")


@lru_cache(4096)
def spelt(word: str, language: Language) -> str:
    """An English word (ASCII letters) in the script of ``language``."""
    lower = word.lower()[:LONGEST_WORD]
    if lower in language.words:
        return language.words[lower]
    pivot = LEXICON.get(lower)
    if pivot is None and lower.endswith("s") and lower[:-1] in LEXICON:
        pivot = LEXICON[lower[:-1]] + "्स" * (LEXICON[lower[:-1]][-1] >= "क")
    return written_in(pivot or sounded(lower), language.script, language.code)


def letters(text: str, language: Language) -> str:
    """The names of the Latin letters of ``text``, one by one."""
    return " ".join(_letter(c.upper(), language) for c in text if c.isascii() and c.isalpha())


@lru_cache(256)
def _letter(capital: str, language: Language) -> str:
    if capital in language.letters:
        return language.letters[capital]
    return written_in(LETTER_NAMES[capital], language.script, language.code)


def ascii_letters(text: str) -> str:
    """é -> e: Latin letters without their marks."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if c.isascii() and c.isalpha())


def sounded(word: str) -> str:
    """A guess at an unknown word, lower case: English spelling rules, -> the pivot."""
    for pattern, sounds in _CONTEXTS:
        word = pattern.sub(sounds, word)
    word = _CLOSED_A.sub("ə", word)
    sounds = "".join(
        {"ə": "a"}.get(piece, _GRAPHEMES.get(piece, piece)) for piece in _SPLIT.findall(word)
    )
    out, after_consonant = "", False
    for sound in _SOUND.findall(sounds):
        sound = _WRITTEN_VOWELS.get(sound, sound)
        if sound in _VOWELS:
            out += _VOWELS[sound][1 if after_consonant else 0]
            after_consonant = False
        elif "क" <= sound[0] <= "ह":
            out += ("्" if after_consonant else "") + sound
            after_consonant = True
        else:
            out += sound
            after_consonant = False
    for cluster, nasal in _NASALS:
        out = cluster.sub(nasal, out)
    return out
