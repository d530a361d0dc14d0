"""Prompt injection: words that want to be the language model's orders, and what comes of them.

Three sides. A caller tells the agent to forget its instructions; a document holds orders to whoever
summarises it (Greshake et al. 2023, "Not what you've signed up for"); an agent that obeyed recites its
own prompt or speaks the marks of a chat template. Patterns find what is usual, not what is clever:
``docs/safety.md`` says what they miss.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import re2

from appliance.safety.wordfold import Folded, fold, fold_kept, normalise, readings

MOST_LETTERS = 20_000
"""Of a text that is looked at; a passage has some 120 words."""
_BLOB = re.compile(r"[A-Za-z0-9+/]{40,4096}={0,2}")
"""Base64, 30 bytes and more."""
MOST_BLOBS = 4
_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}|[\u200b\u200c\u2060\u2062-\u2064\ufeff]{6,}")
"""Letters that nobody sees: Unicode tags, or a row of zero-width letters."""

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_ROLE = r"(?im)^[ \t#*>]*(?:system|assistant|developer)[ \t]*:[ \t]*"
_ROLE_ORDERS = _ROLE + "(?:you |ignore|always|never|reply|respond|say|tell|from now|new |do not)"
"""A document may well name its system, or its assistant."""


def _folded_pattern(pattern: str) -> str:
    """The letters of a pattern folded as the words are; its signs are ASCII and stay."""
    return re.sub(
        "[^\x00-\x7f]+", lambda m: fold(m[0]).words[0] if fold(m[0]).words else m[0], pattern
    )


class _Any:
    """One of many patterns, by RE2; where."""

    def __init__(self, patterns: Iterable[str], *, folded: bool) -> None:
        options = re2.Options()
        options.log_errors = False
        texts = [_folded_pattern(p) if folded else p for p in patterns]
        self._together = re2.Set.SearchSet(options)
        self._patterns = [re2.compile(text, options) for text in texts]
        for text in texts:
            self._together.Add(text)
        self._together.Compile()

    def find(self, text: str) -> str:
        """The first match of the first pattern that has one; empty: none."""
        for index in self._together.Match(text) or ():
            if match := self._patterns[index].search(text):
                return str(match.group()).strip()
        return ""


_CALLER_SAYS = _Any(_TABLE["caller"], folded=True)
_CALLER_WRITES = _Any((*_TABLE["template"], _ROLE), folded=False)
_DOCUMENT_SAYS = _Any((*_TABLE["caller"], *_TABLE["document"]), folded=True)
_DOCUMENT_HOLDS = _Any((*_TABLE["template"], _ROLE_ORDERS), folded=False)
_AGENT_SAYS = _Any(_TABLE["obeyed"], folded=True)
_AGENT_HOLDS = _Any((*_TABLE["template"], _ROLE, *_TABLE["spoken"]), folded=False)


def caller_orders(said: str) -> str:
    """The words with which a caller gives the language model orders; empty: none."""
    said = said[:MOST_LETTERS]
    for way in readings(said):
        if found := _CALLER_SAYS.find(way.joined):
            return found
    return _CALLER_WRITES.find(normalise(said)) or _decoded(said)


def document_orders(text: str) -> str:
    """The words of a document that read like orders to a language model, or hide; empty: none."""
    text = text[:MOST_LETTERS]
    if hidden := _TAGS.search(text):
        return repr(hidden[0][:8])
    for way in readings(text):
        if found := _DOCUMENT_SAYS.find(way.joined):
            return found
    return _DOCUMENT_HOLDS.find(normalise(text)) or _decoded(text)


def obeyed(phrase: str) -> str:
    """What in the agent's words says that it took orders, or is no speech at all; empty: nothing."""
    phrase = normalise(phrase[:MOST_LETTERS])
    return _AGENT_HOLDS.find(phrase) or _AGENT_SAYS.find(fold(phrase).joined)


def _decoded(text: str) -> str:
    """Orders in Base64."""
    for number, blob in enumerate(_BLOB.finditer(text)):
        if number >= MOST_BLOBS:
            break
        letters = blob[0].rstrip("=")
        try:
            plain = base64.b64decode(letters + "=" * (-len(letters) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        if _DOCUMENT_SAYS.find(fold(plain).joined):
            return blob[0][:40]
    return ""


LEAK_WORDS = 7
"""So many words in a row of an instruction are no chance: they are being recited."""
_INSTRUCTS = frozenset(
    "never must always passages passage caller callers sentences instructions instruction reply respond"
    " answer prompt user users assistant dont only कॉलर जवाब उत्तर निर्देश वाक्य वाक्यों हमेशा कभी केवल"
    " সবসময় উত্তর கேட்பவர் பதில் எப்போதும் సమాధానం ఎల్లప్పుడూ ಉತ್ತರ ಯಾವಾಗಲೂ മറുപടി എപ്പോഴും"
    " ਜਵਾਬ ਹਮੇਸ਼ਾ જવાબ હંમેશા उत्तरे جواب ہمیشہ".split()
)
"""One of them makes a row of words an instruction, and not a fact that stands in the prompt."""


def leaks(phrase: Folded, before: Sequence[str], prompt: str, others: Iterable[str]) -> str:
    """A row of words of the prompt's instructions in ``phrase``, which stands in none of ``others``
    (passages, the agent's fixed phrases); empty: none. ``before``: the folded words before it."""
    tail = tuple(before[-(LEAK_WORDS - 1) :])
    words = tail + phrase.words
    rows = _prompt_rows(prompt)
    if not rows:
        return ""
    for at in range(len(words) - LEAK_WORDS + 1):
        row = words[at : at + LEAK_WORDS]
        if row in rows:
            joined = f" {' '.join(row)} "
            if not any(joined in fold_kept(other).joined for other in others):
                return phrase.written(max(0, at - len(tail)), at + LEAK_WORDS - 1 - len(tail))
    return ""


def learn_prompt(prompt: str) -> None:
    """Read a prompt for the phrases to come."""
    _prompt_rows(prompt)


def _prompt_rows(prompt: str) -> frozenset[tuple[str, ...]]:
    words = fold_kept(prompt).words
    found = _ROWS.get(prompt)
    if found is None:
        instructs = _folded_instructs()
        rows = (words[at : at + LEAK_WORDS] for at in range(len(words) - LEAK_WORDS + 1))
        found = frozenset(row for row in rows if not instructs.isdisjoint(row))
        if len(_ROWS) >= MOST_PROMPTS:
            _ROWS.clear()
        _ROWS[prompt] = found
    return found


def _folded_instructs() -> frozenset[str]:
    return frozenset(fold(" ".join(sorted(_INSTRUCTS))).words)


MOST_PROMPTS = 256
_ROWS: dict[str, frozenset[tuple[str, ...]]] = {}
"""Rows of each agent's prompt; a few agents a worker."""
