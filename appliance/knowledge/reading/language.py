"""Which of our languages a text is in: by its script, and by its words where two share one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from types import SimpleNamespace

SCRIPTS = {
    "en": "A-Za-z\u00c0-\u024f",
    "hi": "\u0900-\u097f\ua8e0-\ua8ff",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "or": "\u0b00-\u0b7f",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "ur": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
}
"""The code points of each script, under the language that most often has it."""

LEAST_LETTERS = 2
SAMPLE_CHARS = 4000
"""Of a text: what two languages of one script are told apart by."""
INDIC_SHARE = 0.3
"""A text in an Indic script is full of English names: so much of it in its own script is enough."""
SURE = 0.9
"""Probability from which one language of a script is believed against its commoner one."""

_LETTERS = {language: re.compile(f"[{ranges}]") for language, ranges in SCRIPTS.items()}
_WORD = re.compile("[\u0900-\u0963\u0970-\u097f]+")
_MARATHI = frozenset(
    "आहे आहेत आणि नाही नाहीत होते होतात करा करावे करावा करावी किंवा आपला आपली आपले आपल्या तुमचा तुमची तुमचे "
    "तुमच्या साठी मध्ये असेल असते काय कसे कसा कशी कधी कुठे कोणते हा मी मला तुम्ही पाहिजे येथे मिळेल देते वर".split()
)
_HINDI = frozenset(
    "है हैं और नहीं था थी थे का की के को में से पर या आप आपका आपकी आपके क्या कैसे कब कहाँ कहां करें लिए यह मैं मुझे "
    "होगा होगी होता होती होते जाता जाती सकते सकता कितना कितनी कौन अपना अपनी अपने".split()
)
_LLA = "\u0933"
"""ळ: in most Marathi sentences, in hardly a Hindi one."""
_ASSAMESE = re.compile("[ৰৱ]")


def language_of(text: str) -> str:
    """BCP 47 primary subtag; empty when there are hardly any letters."""
    counts = {
        language: len(found)
        for language, letters in _LETTERS.items()
        if (found := letters.findall(text))
    }
    total = sum(counts.values())
    if total < LEAST_LETTERS:
        return ""
    best = max(counts, key=lambda language: counts[language])
    if best == "en":
        others = {language: n for language, n in counts.items() if language != "en"}
        if sum(others.values()) / total < INDIC_SHARE:
            return "en"
        best = max(others, key=lambda language: others[language])
    if best == "hi":
        return _devanagari(text[:SAMPLE_CHARS])
    if best == "bn" and _ASSAMESE.search(text):
        return "as"
    return best


def dominant(languages: Iterable[tuple[str, int]]) -> str:
    """The language with the most characters, of (language, characters); empty for none."""
    counts: Counter[str] = Counter()
    for language, chars in languages:
        if language:
            counts[language] += chars
    return counts.most_common(1)[0][0] if counts else ""


def _devanagari(text: str) -> str:
    words = _WORD.findall(text)
    marathi = sum(word in _MARATHI or _LLA in word for word in words)
    hindi = sum(word in _HINDI for word in words)
    if marathi != hindi:
        return "mr" if marathi > hindi else "hi"
    language, probability = _identifier().classify(text)
    return "mr" if language == "mr" and float(probability) >= SURE else "hi"


@cache
def _identifier():  # type: ignore[no-untyped-def]
    """Loaded when first needed: its model takes 0.2 s."""
    from py3langid import modelio
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    # it unpacks its model into a file, and a parser may write none (reading/limits.py)
    modelio.tempfile = SimpleNamespace(TemporaryFile=lambda suffix: BytesIO())
    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(["hi", "mr"])
    return found
