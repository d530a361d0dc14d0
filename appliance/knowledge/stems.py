"""Light stems: endings cut from words so that a question and its answer meet.

Which endings are cut is told by the script of the word alone, so that a question and a passage are
always cut alike. Few and long endings go; a stem is no word, only the same for the forms of one.
Hindi after Ramanathan and Rao, "A lightweight stemmer for Hindi" (EACL 2003), less the short endings
of verbs (ना, ता, कर) that tear nouns apart (खाता, खातों); the other scripts have their commonest case
and plural endings in the same manner. Words are given as ``folding`` has them.
"""

from __future__ import annotations

from functools import lru_cache

_ENGLISH = (("ies", "y"), ("sses", "ss"), ("ations", "at"), ("ation", "at"), ("ings", ""),
            ("ing", ""), ("ers", ""), ("er", ""), ("ed", ""), ("es", ""), ("s", ""),
            ("e", ""), ("y", ""))  # fmt: skip
_SHORTEST_ENGLISH = 3

_DEVANAGARI = """
    ाएंगी ाएंगे ाऊंगी ाऊंगा ाइयां ाइयों ाएगी ाएगा ाओगी ाओगे एंगी ेंगी एंगे ेंगे ूंगी ूंगा ातीं नाओं नाएं ताओं ताएं
    ियां ियों ाकर ाइए ाईं ाया ेगी ेगा ोगी ोगे तीं ाओं ाएं ुओं ुएं ुआं
    ाओ िए ाई ाए ीं ां ों ें ो े ू ु ी ि ा
    ांसाठी ासाठी साठी ांमध्ये ामध्ये मध्ये ांच्या ाच्या च्या ांना ांनी ांचा ांची ांचे ाचा ाची ाचे ाला ावर ाहून ात
"""
"""The last line is Marathi, which is written with the same letters and joins its cases to the word."""
_BENGALI = (
    """
    গুলোতে গুলোকে গুলোর গুলির গুলিতে গুলিকে গুলো গুলি গুলা দেরকে দের টিকে টাকে টির টার টিতে টাতে টি টা
    খানা খানি েরা ের যের কে তে যে রা বোৰ সমূহ ৰা েৰ ৰ লৈ
    """,
    "ে",
)
_GURMUKHI = "ੀਆਂ ਿਆਂ ਾਂ ਆਂ ੇ ਾ ੀ ੋ"
_GUJARATI = ("માંથી માં નો ની નું નાં ના ને થી એ", "ાઓ ીઓ ઓ ો ા ી ું ે")
_ODIA = ("ମାନଙ୍କୁ ମାନଙ୍କର ମାନଙ୍କ ଙ୍କୁ ଙ୍କର ଙ୍କ ରେ କୁ ରୁ ର", "ଗୁଡିକ ଗୁଡାକ ମାନେ ଟି ଟା")
_TAMIL = (
    """
    த்திற்கு த்துக்கு த்தில் த்தின் த்தால் த்தை க்கு ிற்கு ுக்கு ில் ின் ால் ுடன் ிலிருந்து ை ும்
    """,
    "ங்கள் கள் ங்க",
    "ம் ு",
)
_TELUGU = ("లోని లో కు కి ను ని తో గా", "లు ల", "ం ు ి")
_KANNADA = (
    "ವನ್ನು ಯನ್ನು ನ್ನು ದಲ್ಲಿ ಯಲ್ಲಿ ಲ್ಲಿ ದಿಂದ ಯಿಂದ ಿಂದ ಕ್ಕೆ ಿಗೆ ಗೆ ದ ಯ ನ",
    "ಗಳು ಗಳ",
    "ು ಿ",
)
_MALAYALAM = (
    """
    ത്തിന്റെ യുടെ ിന്റെ ന്റെ ുടെ ത്തില് യില് ില് ത്തിന് ിന് ിനെ യെ യ്ക്ക് ക്ക് െ ും
    """,
    "ങ്ങള് കള്",
    "ം ്",
)
_ARABIC = "یوں یاں ئیں وں یں ے ی ا ہ"

_Groups = tuple[tuple[str, ...], ...]


def _groups(*lists: str) -> _Groups:
    """Endings, the longest first; of each list one is cut, in the order of the lists."""
    return tuple(tuple(sorted(set(words.split()), key=len, reverse=True)) for words in lists)


_SCRIPTS: tuple[tuple[str, str, int, _Groups], ...] = (
    ("\u0900", "\u097f", 2, _groups(_DEVANAGARI)),
    ("\u0980", "\u09ff", 2, _groups(*_BENGALI)),
    ("\u0a00", "\u0a7f", 2, _groups(_GURMUKHI)),
    ("\u0a80", "\u0aff", 2, _groups(*_GUJARATI)),
    ("\u0b00", "\u0b7f", 2, _groups(*_ODIA)),
    ("\u0b80", "\u0bff", 3, _groups(*_TAMIL)),
    ("\u0c00", "\u0c7f", 3, _groups(*_TELUGU)),
    ("\u0c80", "\u0cff", 3, _groups(*_KANNADA)),
    ("\u0d00", "\u0d7f", 3, _groups(*_MALAYALAM)),
    ("\u0600", "\u06ff", 2, _groups(_ARABIC)),
)
"""Of a script: its first and last sign, the fewest signs of a stem, its endings."""


@lru_cache(maxsize=32768)
def stem(word: str) -> str:
    """``word`` without its ending: "install", "installing" and "installed" meet."""
    last = word[-1:]
    if last <= "\u05ff":
        return _english(word)
    for low, high, shortest, groups in _SCRIPTS:
        if low <= last <= high:
            for endings in groups:
                word = _cut(word, endings, shortest)
            break
    return word


def _cut(word: str, endings: tuple[str, ...], shortest: int) -> str:
    for ending in endings:
        if word.endswith(ending) and len(word) - len(ending) >= shortest:
            return word[: -len(ending)]
    return word


def _english(word: str) -> str:
    if word.endswith("ss"):
        return word
    for ending, instead in _ENGLISH:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_ENGLISH:
            left = word[: -len(ending)] + instead
            doubled = ending in ("ing", "ings", "er", "ers", "ed") and left[-1:] == left[-2:-1]
            return left[:-1] if doubled and left[-1] not in "lsz" else left
    return word
