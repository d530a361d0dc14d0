"""Pronunciations for the recogniser's dictionary: cmudict, then flite's rules, then our own.

A word without a pronunciation is silently never recognised, so every word gets one. Phones are
ARPAbet as the acoustic model knows them (39 phones, no stress marks).
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

_log = logging.getLogger(__name__)

FLITE_TIMEOUT_S = 10.0
FLITE_BATCH = 100
"""Words a run; one run out of step with its words costs no other run its answers."""
FLITE_MOST_WORDS = 4000
"""About 4 s of work; text with more strange words than this is no English text."""
_ALTERNATIVE = re.compile(r"\(\d+\)$")

PHONES = frozenset(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW "
    "V W Y Z ZH".split()
)

# Our letter-to-sound rules, longest first: plain, and only for machines without flite.
_RULES: tuple[tuple[str, str], ...] = (
    ("tion", "SH AH N"), ("sion", "ZH AH N"), ("ough", "AO"), ("augh", "AO"), ("eigh", "EY"),
    ("igh", "AY"), ("tch", "CH"), ("dge", "JH"), ("sch", "SH"), ("ing", "IH NG"),
    ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"), ("wh", "W"), ("ck", "K"),
    ("ng", "NG"), ("qu", "K W"), ("gh", "G"), ("kn", "N"), ("wr", "R"), ("ee", "IY"),
    ("ea", "IY"), ("oo", "UW"), ("ou", "AW"), ("ow", "OW"), ("oa", "OW"), ("oi", "OY"),
    ("oy", "OY"), ("ai", "EY"), ("ay", "EY"), ("au", "AO"), ("aw", "AO"), ("ie", "IY"),
    ("ei", "EY"), ("ey", "IY"), ("ew", "Y UW"), ("ar", "AA R"), ("er", "ER"), ("ir", "ER"),
    ("or", "AO R"), ("ur", "ER"), ("ce", "S EH"), ("ci", "S IH"), ("cy", "S IY"),
    ("bb", "B"), ("cc", "K"), ("dd", "D"), ("ff", "F"), ("gg", "G"), ("ll", "L"), ("mm", "M"),
    ("nn", "N"), ("pp", "P"), ("rr", "R"), ("ss", "S"), ("tt", "T"), ("zz", "Z"),
    ("a", "AE"), ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH"), ("f", "F"), ("g", "G"),
    ("h", "HH"), ("i", "IH"), ("j", "JH"), ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"),
    ("o", "AA"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("u", "AH"),
    ("v", "V"), ("w", "W"), ("x", "K S"), ("y", "IY"), ("z", "Z"),
)  # fmt: skip
_LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "EY/B IY/S IY/D IY/IY/EH F/JH IY/EY CH/AY/JH EY/K EY/EH L/EH M/EH N/OW/P IY/K Y UW/AA R/"
        "EH S/T IY/Y UW/V IY/D AH B AH L Y UW/EH K S/W AY/Z IY".split("/"),
        strict=True,
    )
)


def pronunciations(words: Collection[str], cmudict: Path) -> dict[str, list[str]]:
    """Word -> its pronunciations (several where cmudict has several), each as spaced phones."""
    found = _from_cmudict(words, cmudict)
    missing = sorted(set(words) - found.keys())
    for at in range(0, min(len(missing), FLITE_MOST_WORDS), FLITE_BATCH):
        spoken = _from_flite(missing[at : at + FLITE_BATCH])
        found |= {word: [phones] for word, phones in spoken.items()}
    return found | {word: [by_rule(word)] for word in missing if word not in found}


def _from_cmudict(words: Collection[str], cmudict: Path) -> dict[str, list[str]]:
    wanted, found = set(words), dict[str, list[str]]()
    with cmudict.open(encoding="utf-8") as lines:
        for line in lines:
            entry, _, phones = line.partition(" ")
            word = _ALTERNATIVE.sub("", entry)
            if word in wanted:
                found.setdefault(word, []).append(phones.strip())
    return found


def _from_flite(words: list[str]) -> dict[str, str]:
    """Ask the ``flite`` program; empty where it is not installed or answers out of step."""
    program = shutil.which("flite")
    if program is None or not words:
        return {}
    # One sentence a word, so that a pause stands between every two.
    text = "".join(f"{word}.\n" for word in words)
    try:
        done = subprocess.run(
            [program, "-ps", "-f", "/dev/stdin", "-o", "none"],
            input=text.encode(), capture_output=True, timeout=FLITE_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as e:
        _log.warning("! flite gave no pronunciations (%s); taking letter rules", e)
        return {}
    spoken = re.split(r"\bpau\b", done.stdout.decode())
    groups = [group.split() for group in spoken if group.strip()]
    if len(groups) != len(words):
        _log.warning("! flite spoke %d words of %d; taking letter rules", len(groups), len(words))
        return {}
    return {
        word: " ".join(phones)
        for word, group in zip(words, groups, strict=True)
        if (phones := [_arpabet(phone) for phone in group]) and PHONES.issuperset(phones)
    }


def _arpabet(phone: str) -> str:
    """flite's radio phone set has one phone more than cmudict's: the schwa ``ax``."""
    return "AH" if phone == "ax" else phone.upper()


def by_rule(word: str) -> str:
    """A pronunciation from the letters alone; a word without a vowel is spelled (``sms``)."""
    letters = re.sub(r"[^a-z]", "", word.lower())
    if not re.search(r"[aeiouy]", letters):
        return " ".join(_LETTERS[letter] for letter in letters) or "AH"
    if len(letters) > 3 and letters.endswith("e") and letters[-2] not in "aeiou":
        letters = letters[:-1]  # a silent e
    phones: list[str] = []
    while letters:
        spelling, sound = next(rule for rule in _RULES if letters.startswith(rule[0]))
        phones.append(sound)
        letters = letters[len(spelling) :]
    return " ".join(phones)
