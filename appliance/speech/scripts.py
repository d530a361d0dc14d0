"""Devanagari as a phonetic pivot -> the script of a voice.

Unicode's Indic blocks are laid out in parallel (they follow ISCII), so a letter of one is the letter of
another at the same place in its block; what differs from that, and how each script writes English
sounds, stands in the tables here. The pivot has more than Hindi: ॅ ऍ (cat), ॉ ऑ (hot), ॆ ऎ ॊ ऒ (short).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from appliance.speech.language import Script

_VIRAMA, _NUKTA = "्", "़"
_CONSONANT = "[क-ह]"
_SIGNS = "ा-ौॢॣॅॎ"
_LETTER = re.compile(rf"({_CONSONANT}{_NUKTA}?)([{_SIGNS}{_VIRAMA}]?)([ंँः]?)|(.)([ंँः]?)", re.DOTALL)
_HOMORGANIC = (("कखगघ", "ङ"), ("चछजझ", "ञ"), ("टठडढ", "ण"), ("पफबभम", "म"))
_SPELLS_FINAL_VOWELS = frozenset({Script.TAMIL, Script.TELUGU, Script.KANNADA, Script.MALAYALAM})
"""A bare consonant is spoken with its vowel there, at the end of a word too."""

_KEEPS_ANUSVARA = frozenset({Script.TELUGU, Script.KANNADA})
_DIPHTHONGS = {"ाइ": "ै", "ाउ": "ौ", "आइ": "ऐ", "आउ": "औ"}

_NORTHERN = {"ऎ": "ए", "ॆ": "े", "ऒ": "ओ", "ॊ": "ो"}
_TABLES: dict[Script, dict[str, str]] = {
    Script.BENGALI: {
        "ऎ": "এ", "ॆ": "ে", "ऒ": "ও", "ॊ": "ো", "व": "ভ", "य": "য়", "ऍ": "অ্যা",
        "ॅ": "্যা", "ऑ": "অ", "ॉ": "",
        "ी": "ি", "ू": "ু", "ई": "ই", "ऊ": "উ", "ळ": "ল", _NUKTA: "",
    },
    Script.GURMUKHI: {
        "ऎ": "ਐ", "ॆ": "ੈ", "ऒ": "ਓ", "ॊ": "ੋ", "ष": "ਸ਼", "श": "ਸ਼", "ऋ": "ਰਿ", "ृ": "੍ਰਿ", "ऍ": "ਐ", "ॅ": "ੈ",
        "ऑ": "ਆ", "ॉ": "ਾ", "ळ": "ਲ਼",
    },
    Script.GUJARATI: {"ऎ": "એ", "ॆ": "ે", "ऒ": "ઓ", "ॊ": "ો", _NUKTA: ""},
    Script.TAMIL: {
        "ख": "க", "ग": "க", "घ": "க", "छ": "ச", "झ": "ஜ", "ठ": "ட", "ड": "ட", "ढ": "ட",
        "थ": "த", "द": "த",
        "ध": "த", "न": "ன", "फ": "ஃப", "ब": "ப", "भ": "ப", "श": "ஷ", "ऋ": "ரி",
        "ृ": "்ரி", "ऍ": "ஆ", "ॅ": "ே",
        "ऑ": "ஆ", "ॉ": "ா", "ः": "", _NUKTA: "",
    },
    Script.TELUGU: {"ऍ": "యా", "ॅ": "్యా", "ऑ": "ఆ", "ॉ": "ా", _NUKTA: ""},
    Script.KANNADA: {"ऍ": "ಆ್ಯ", "ॅ": "್ಯಾ", "ऑ": "ಆ", "ॉ": "ಾ", _NUKTA: ""},
    Script.MALAYALAM: {"ऍ": "ആ", "ॅ": "ാ", "ऑ": "ഓ", "ॉ": "ോ", _NUKTA: ""},
}  # fmt: skip
_CHILLU = {"ന്": "ൻ", "ര്": "ർ", "ല്": "ൽ", "ള്": "ൾ", "ണ്": "ൺ"}
_HINDI = str.maketrans(_NORTHERN | {"ऍ": "ऐ", "ॅ": "ै"})
_MARATHI = str.maketrans(_NORTHERN | {"ऍ": "ॲ", _NUKTA: None})


@lru_cache(4096)
def written_in(word: str, script: Script, code: str) -> str:
    """A word of the pivot in ``script``, as the language ``code`` writes it."""
    if script is Script.DEVANAGARI:
        return word.translate(_MARATHI if code == "mr" else _HINDI)
    letters = _letters(word)
    if script in _SPELLS_FINAL_VOWELS:
        _silence_schwas(letters)
        _join_diphthongs(letters)
    if script not in (Script.GUJARATI, Script.GURMUKHI):
        _write_nasals(letters, script)
    if script is Script.TAMIL:
        _double_stops(letters)
    table, shift = _TABLES[script], script.value - Script.DEVANAGARI.value
    moved = "".join(
        table.get(c, chr(ord(c) + shift) if "ऀ" <= c <= "॥" else c)
        for c in "".join("".join(letter) for letter in letters)
    )
    return _HABITS[script](moved)


def _letters(word: str) -> list[list[str]]:
    """[consonant or other letter, vowel sign or virama, nasal] each."""
    return [
        [found[1] or found[4], found[2] or "", found[3] or found[5] or ""]
        for found in _LETTER.finditer(word)
    ]


def _bare(letter: list[str]) -> bool:
    return bool(re.match(_CONSONANT, letter[0])) and not letter[1]


def _silence_schwas(letters: list[list[str]]) -> None:
    """Mark the vowels that Hindi writes but does not say: at the end, and in VC_CV from the right
    (Choudhury, Basu and Sarkar 2004: schwa deletion in Hindi)."""
    if len(letters) < 2:
        return
    if _bare(letters[-1]) and not letters[-1][2]:
        letters[-1][1] = _VIRAMA
    for at in range(len(letters) - 2, 0, -1):
        before, letter, after = letters[at - 1 : at + 2]
        voiced = before[1] != _VIRAMA and not before[2]
        if _bare(letter) and not letter[2] and voiced and after[1] != _VIRAMA:
            if re.match(_CONSONANT, after[0]):
                letter[1] = _VIRAMA


def _join_diphthongs(letters: list[list[str]]) -> None:
    """ा + इ: two letters in Hindi, one sound and one letter in the south."""
    for at in range(len(letters) - 1, 0, -1):
        before, letter = letters[at - 1 : at + 1]
        if letter[0] in ("इ", "उ") and not before[2]:
            last = before[1] or before[0]
            joined = _DIPHTHONGS.get(last + letter[0], "")
            if joined:
                before[1 if before[1] else 0] = joined
                before[2] = letter[2]
                del letters[at]


def _write_nasals(letters: list[list[str]], script: Script) -> None:
    """Anusvara -> the nasal of the place where the next consonant is spoken."""
    for letter, after in pairwise([*letters, ["", "", ""]]):
        if letter[2] in ("ं", "ँ"):
            first = after[0][:1]
            nasal = next((n for place, n in _HOMORGANIC if first and first in place), "न")
            if nasal == "ण" and script is Script.BENGALI:
                nasal = "न"  # as it writes foreign words
            if (first and first in "सशषहयरलव") or script not in _KEEPS_ANUSVARA:
                letter[2] = nasal + _VIRAMA


def _double_stops(letters: list[list[str]]) -> None:
    """Tamil voices a single stop between vowels; an English k, t, p, ch there is written twice."""
    for before, letter in pairwise(letters):
        after_vowel = before[1] != _VIRAMA and not before[2]
        if letter[0] in ("क", "ट", "प", "च") and after_vowel and letter[1] != _VIRAMA:
            letter[0] = letter[0] + _VIRAMA + letter[0]


def _bengali(word: str) -> str:
    word = re.sub("্য়ু", "িউ", word).replace("্য়", "্য")
    word = re.sub("^য়ু", "ইউ", word)
    word = re.sub("^য়", "ই", word)
    return re.sub("(?<=[ক-হ])র$", "ার", word)


def _gurmukhi(word: str) -> str:
    word = re.sub(r"([ਕ-ਹ])੍\1", r"ੱ\1", word)
    word = re.sub("੍(?![ਰਹਵ])", "", word)
    return re.sub(r"(?<![ਾੀੂੇੈੋੌਆਈਊਏਐਓਔ])ਂ(?=.)", "ੰ", word)


def _tamil(word: str) -> str:
    return re.sub("^ன|ன(?=்த)", "ந", word)


def _malayalam(word: str) -> str:
    word = re.sub("(?<=.)(?<!ണ്)ട(?!്ട)", "റ്റ", word)
    word = word.replace("ണ്ട", "ന്റ").replace("ണ്ഡ", "ൻഡ").replace("മ്ബ", "മ്പ")
    for plain, chillu in _CHILLU.items():
        word = re.sub(plain + "$", chillu, word)
    word = re.sub("മ്$", "ം", word)
    word = re.sub("ന്(?=[സഷശകപഫബ])", "ൻ", word)
    word = re.sub("ല്(?=[ടഡകപബഫമസഷശ])", "ൽ", word)
    return re.sub("ര്(?=[ക-ഹ])(?!ര്യ)", "ർ", word)


_HABITS: dict[Script, Callable[[str], str]] = {
    Script.BENGALI: _bengali,
    Script.GURMUKHI: _gurmukhi,
    Script.GUJARATI: str,
    Script.TAMIL: _tamil,
    Script.TELUGU: str,
    Script.KANNADA: str,
    Script.MALAYALAM: _malayalam,
}
