"""A recogniser's vocabulary from an agent's knowledge: trigram language model and dictionary.

Run as a program (``python -m appliance.models.vocabulary FOLDER``, texts as a JSON list on stdin)
it writes FOLDER/{model.lm, words.dict, stats.json}; the STT server runs it so in a child process,
for building takes up to a second and would stall the decoding of every other call.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
import random
import re
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pocketsphinx

from appliance.files import write_whole
from appliance.models.caller_phrases import (
    AFTER_A_THING,
    BEFORE_A_QUALITY,
    BEFORE_A_THING,
    BEFORE_AN_ACT,
    DETERMINERS,
    DIGITS,
    EVERYDAY_THINGS,
    FUNCTION_WORDS,
    JOINTS,
    NUMBERS,
    QUALITIES,
    SMALL_TALK,
    TEMPLATES,
    TIMES,
    VERBS,
    WHICH,
)
from appliance.models.engine import ContextStats
from appliance.models.pronounce import pronunciations
from appliance.models.trigrams import Trigrams

RECIPE = ("vocabulary.py", "caller_phrases.py", "trigrams.py", "pronounce.py")
"""The files that decide what is built: a change in one of them makes cached vocabularies stale."""
SEED = 1
KNOWLEDGE_WEIGHT = 20
SMALL_TALK_WEIGHT = 12
PHRASES = 15_000
EVERYDAY_SHARE = 0.5
LONGEST_PHRASE_WORDS = 4
LONGEST_WORD = 24
NICENESS = 10

MODEL, DICTIONARY, STATS = "model.lm.bin", "words.dict", "stats.json"

_UNITS = {
    "mbps": "megabits per second", "gbps": "gigabits per second", "kbps": "kilobits per second",
    "gb": "gigabytes", "mb": "megabytes", "tb": "terabytes", "km": "kilometres", "kg": "kilograms",
    "rs": "rupees", "inr": "rupees", "usd": "dollars", "hrs": "hours", "mins": "minutes",
    "pm": "p m", "&": "and", "%": "percent", "+": "plus", "e.g": "for example",
}  # fmt: skip
_CURRENCIES = {"₹": "rupees", "$": "dollars", "£": "pounds", "€": "euros"}
_SLOTS: dict[str, Sequence[str]] = {
    "before_thing": BEFORE_A_THING, "before_act": BEFORE_AN_ACT, "article": DETERMINERS,
    "before_quality": BEFORE_A_QUALITY, "after": AFTER_A_THING, "verb": VERBS,
    "quality": QUALITIES, "time": TIMES, "joint": JOINTS, "which": WHICH,
}  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\}")
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = ["zero", *NUMBERS[2:11], *NUMBERS[13:23]]
_SCALES = ((10_000_000, "crore"), (100_000, "lakh"), (1000, "thousand"), (100, "hundred"))
_NUMBER_WORDS = frozenset((*NUMBERS, "lakh", "crore", "point", "a", "m", "p"))
_SENTENCE = re.compile(r"[.?!:;।|](?:\s|$)|\n|(?<=\s)[-*–—](?=\s)|[()\[\]]")
_TOKEN = re.compile(r"\d+|[a-z]+(?:['.][a-z]+)*|[&%+]")


def number_words(number: int) -> str:
    """499 -> ``four hundred and ninety nine``, with the scales that Indian callers use."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_SMALL[rest]}" if rest else "")
    for scale, name in _SCALES:
        if number >= scale:
            count, rest = divmod(number, scale)
            joint = " and " if scale == 100 else " "
            return f"{number_words(count)} {name}" + (
                f"{joint}{number_words(rest)}" if rest else ""
            )
    raise ValueError(f"not a count: {number}")


def sentences(text: str) -> list[list[str]]:
    """A knowledge text (plain or Markdown) as sentences of spoken, lower-case words."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    plain = re.sub(r"\b([ap])\.m\.(?=\s+[A-Z]|\s*\n)", r"\1m.", plain).lower()
    plain = re.sub(r"[₹$£€]\s?([\d.,]*\d)", _money, plain)
    plain = re.sub(r"(?<=\d),(?=\d{2,3}\b)", "", plain)
    plain = re.sub(r"\b([ap])\.m\b\.?", r"\1m", plain)
    plain = re.sub(r"(?<=\d)\s?am\b", " a m", plain)
    plain = re.sub(r"(\d):(\d\d)\b", lambda m: m[1] + (f" {m[2]}" if m[2] != "00" else ""), plain)
    plain = re.sub(r"(\d)\.(\d)", r"\1 point \2", plain)
    return [words for part in _SENTENCE.split(plain) if (words := _words(part))]


def _money(match: re.Match[str]) -> str:
    return f"{match[1]} {_CURRENCIES[match[0][0]]}"


def _words(part: str) -> list[str]:
    words: list[str] = []
    for token in _TOKEN.findall(part):
        if token.isdigit():
            # A long number is a telephone number or a code: said digit by digit.
            small = len(token) <= 7 and not token.startswith("0")
            spoken = number_words(int(token)) if small else " ".join(_SMALL[int(d)] for d in token)
        else:
            spoken = _UNITS.get(token, token.replace(".", " "))
        words += [word for word in spoken.split() if len(word) <= LONGEST_WORD]
    return words


def things(knowledge: Sequence[Sequence[str]]) -> Counter[str]:
    """Runs of up to four content words and how often they occur: what a caller asks about."""
    counts: Counter[str] = Counter()
    for words in knowledge:
        for content, run in itertools.groupby(words, _is_content):
            if content:
                counts.update(_spans(list(run)))
    return counts


def _is_content(word: str) -> bool:
    return word not in FUNCTION_WORDS and word not in _NUMBER_WORDS


def acts(knowledge: Sequence[Sequence[str]]) -> Counter[str]:
    """What stands after ``to``, ``can`` or ``you`` in the knowledge: things a caller may do."""
    found: Counter[str] = Counter()
    for words in knowledge:
        for at, word in enumerate(words[:-1]):
            starts = at == 0 and word not in FUNCTION_WORDS  # an imperative: "Restart the router"
            if starts or word in ("to", "can", "you", "may", "must", "please", "will"):
                rest = words[at if starts else at + 1 :]
                for length in range(1, min(len(rest), 5) + 1):
                    if rest[length - 1] not in FUNCTION_WORDS:
                        found[" ".join(rest[:length]).replace("your", "my")] += 1
    return found


def _spans(run: list[str]) -> Iterator[str]:
    for start in range(len(run)):
        for end in range(start + 1, min(start + LONGEST_PHRASE_WORDS, len(run)) + 1):
            yield " ".join(run[start:end])


def caller_phrases(knowledge: Sequence[Sequence[str]], count: int = PHRASES) -> list[str]:
    """``count`` things that callers may say: openers x the knowledge's phrases.

    The same knowledge gives the same phrases; what it says often is asked often.
    """
    draw = random.Random(SEED)
    slots = {
        "thing": _urn(things(knowledge), EVERYDAY_THINGS),
        "act": _urn(acts(knowledge), VERBS),
        **{name: (words, None) for name, words in _SLOTS.items()},
    }
    weights, shapes = zip(*TEMPLATES, strict=True)
    phrases = []
    for shape in draw.choices(shapes, weights, k=count):
        names = _SLOT.findall(shape)
        words = [draw.choices(slots[name][0], cum_weights=slots[name][1])[0] for name in names]
        phrases.append(_SLOT.sub("{}", shape).format(*words))
    return phrases


def _urn(counts: Counter[str], everyday: Sequence[str]) -> tuple[list[str], list[float]]:
    """Phrases and their cumulated weights: the knowledge's own twice as likely as everyday's."""
    own = [(phrase, math.sqrt(counts[phrase])) for phrase in sorted(counts)]
    share = sum(weight for _, weight in own) * EVERYDAY_SHARE / len(everyday) or 1.0
    items = own + [(phrase, share) for phrase in everyday]
    return [phrase for phrase, _ in items], list(itertools.accumulate(w for _, w in items))


def corpus(knowledge: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[str], int]]:
    """Every line that the language model is counted from, and its weight."""
    for words in knowledge:
        yield words, KNOWLEDGE_WEIGHT
    for talk in SMALL_TALK:
        yield talk.split(), SMALL_TALK_WEIGHT
    for phrase in caller_phrases(knowledge):
        yield phrase.split(), 1
    for pair in itertools.product(NUMBERS, repeat=2):
        yield pair, 1
    for n in range(300):  # telephone and account numbers
        yield [DIGITS[n * k * k % len(DIGITS)] for k in range(1, 11)], 1


@functools.cache
def _recipe() -> bytes:
    folder = Path(__file__).parent
    return b"".join((folder / name).read_bytes() for name in RECIPE)


def digest(texts: Sequence[str]) -> str:
    """A name for the vocabulary of these texts: it changes with them and with the recipe."""
    return hashlib.sha256(_recipe() + orjson.dumps(list(texts))).hexdigest()[:20]


def build(texts: Sequence[str], folder: Path) -> ContextStats:
    """Write the language model and dictionary of ``texts`` into ``folder`` (made; atomic)."""
    began = time.monotonic()
    knowledge = [words for text in texts for words in sentences(text)]
    model = Trigrams(corpus(knowledge))
    folder.mkdir(parents=True, exist_ok=True)
    cmudict = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    words = model.words
    dictionary = _dictionary(pronunciations(words, cmudict))
    write_whole(folder / DICTIONARY, dictionary.encode())
    _write_model(model, folder)
    ms = round((time.monotonic() - began) * 1000)
    stats = ContextStats(len(words), len(knowledge), ms)
    write_whole(folder / STATS, orjson.dumps(stats))  # last: it says that all is there
    return stats


def _write_model(model: Trigrams, folder: Path) -> None:
    """In pocketsphinx's binary form: a decoder reads it in 8 ms, and ARPA text in 40."""
    text, binary = (folder / f".{os.getpid()}{suffix}" for suffix in (".lm", ".lm.bin"))
    model.write(text)
    config = pocketsphinx.Config(lm=None, dict=None, hmm=None, loglevel="FATAL")
    pocketsphinx.NGramModel(config, pocketsphinx.LogMath(), str(text)).write(str(binary))
    text.unlink()
    os.replace(binary, folder / MODEL)


def _dictionary(found: dict[str, list[str]]) -> str:
    return "".join(
        f"{word}{f'({n})' if n > 1 else ''} {phones}\n"
        for word, all_phones in sorted(found.items())
        for n, phones in enumerate(all_phones, 1)
    )


def main() -> None:
    """Build in this process, below the priority of the calls that are being decoded."""
    os.nice(NICENESS)
    stats = build(orjson.loads(sys.stdin.buffer.read()), Path(sys.argv[1]))
    sys.stdout.buffer.write(orjson.dumps(stats))


if __name__ == "__main__":
    main()
