"""Rules: what must not be said, and what a person should know of.

The built-in ones are the files of ``appliance/safety/builtin``, one a language; a site adds its own.
All are compiled once, into one dictionary of words, walked along the text, and a few sets of RE2.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from appliance.errors import UserError
from appliance.events import Severity, Side
from appliance.languages import primary
from appliance.safety.findings import Action
from appliance.safety.patterns import Patterns
from appliance.safety.wordfold import Folded, fold, normalise, readings

BUILTIN = Path(__file__).parent / "builtin"
LONGEST_WORDS = 12
"""Words in a row of one rule."""
LONGEST_TEXT = 200
"""Letters of one word rule."""
MOST_PATTERNS = 300
"""Of a site: each 32 of them cost a walk over every phrase."""
MOST_RULES = 10_000
DENIALS_BEFORE = 4
DENIALS_BEHIND = 3
"""So many words before and behind a match are looked at for a "not"."""

_CLAUSE_ENDS = ",;:.?!।॥—"
_DENY_BEFORE = frozenset(
    "no not never cannot cant dont doesnt wont isnt arent wasnt without neither nor unable nahi nahin"
    " nahee mat नहीं नही मत न".split()
)
_DENY_BEHIND = frozenset(
    fold(
        "नहीं नही मत ना nahi nahin mat নয় না নেই নই இல்லை முடியாது வேண்டாம் లేదు కాదు లేము नाही नको"
        " નથી નહીં ಇಲ್ಲ ಅಲ್ಲ ഇല്ല അല്ല വേണ്ട ਨਹੀਂ نہیں مت"
    ).words
)


@dataclass(frozen=True, slots=True)
class SiteRule:
    """A rule of the site, as the table ``guard_rules`` has it."""

    id: int
    kind: Literal["words", "pattern"]
    text: str
    agent_id: str = ""
    language: str = ""
    side: Side | Literal["both"] = "agent"
    category: str = "words"
    severity: Severity = "medium"
    action: Action = "stop"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a match means."""

    name: str
    category: str
    severity: Severity
    action: Action
    """Towards the agent; a caller's words are only ever flagged."""
    side: Side | Literal["both"] = "both"
    agent_id: str = ""
    language: str = ""
    unless_denied: bool = False
    """Not where it is denied: "we cannot guarantee a refund"."""
    unless_quoted: bool = False
    """Not where the knowledge, or the agent's own prompt, says so in these very words."""

    def concerns(self, side: Side, agent_id: str, language: str) -> bool:
        """Whether it looks at what this side says in calls of this agent (``language``: primary)."""
        return (
            self.side in (side, "both")
            and self.agent_id in ("", agent_id)
            and self.language in ("", language)
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A rule, and the words that it was found in."""

    rule: Rule
    phrase: str


Texts = tuple[tuple[str, Rule], ...]


@dataclass(slots=True)
class _Node:
    """A word of the dictionary: what may follow it, and which rules end here."""

    follows: dict[str, _Node]
    rules: list[Rule]


class RuleSet:
    """The built-in rules and a site's own, compiled once. Raises UserError for a bad one."""

    def __init__(self, site: Sequence[SiteRule] = ()) -> None:
        if len(site) > MOST_RULES:
            raise UserError(f"There are {len(site)} rules of the site; {MOST_RULES} is the most.")
        words, patterns = builtin_texts()
        own = [(rule, _of_site(rule)) for rule in site]
        words += tuple((r.text, rule) for r, rule in own if r.kind == "words")
        added = tuple((r.text, rule) for r, rule in own if r.kind == "pattern")
        if len(added) > MOST_PATTERNS:
            raise UserError(f"The site has {len(added)} patterns; {MOST_PATTERNS} is the most.")
        self._root = _Node({}, [])
        for text, rule in words:
            self._add(text, rule)
        self._pattern_rules = [rule for _, rule in patterns + added]
        self._patterns = Patterns([text for text, _ in patterns + added])

    def find(
        self, text: str, side: Side, agent_id: str, language: str, before: str = ""
    ) -> list[Match]:
        """What is found in ``text``. ``before``: what was said directly before it; only what reaches
        into ``text`` is found. A rule is told once."""
        language = primary(language)
        found: dict[str, Match] = {}

        def tell(rule: Rule, folded: Folded, begin: int, end: int, inside: bool = False) -> None:
            if rule.name in found or not rule.concerns(side, agent_id, language):
                return
            if rule.unless_denied and _denied(folded, begin, end, inside):
                return
            found[rule.name] = Match(rule, folded.text[begin:end])

        own = len(normalise(text))
        ways = readings(f"{before} {text}" if before else text)
        for folded in ways:
            self._walk(folded, len(folded.text) - own if before else 0, tell)
        plain = ways[0]
        beyond = len(plain.text) - own if before else 0
        for index, begin, end in self._patterns.find(plain.text, beyond):
            tell(self._pattern_rules[index], plain, begin, end, True)
        return list(found.values())

    def _walk(self, folded: Folded, beyond: int, tell: Any) -> None:
        words, spans, root = folded.words, folded.spans, self._root.follows
        for first in range(len(words)):
            node, at = root.get(words[first]), first
            while node is not None:
                if node.rules and spans[at][1] > beyond:
                    for rule in node.rules:
                        tell(rule, folded, spans[first][0], spans[at][1])
                at += 1
                node = node.follows.get(words[at]) if at < len(words) else None

    def _add(self, text: str, rule: Rule) -> None:
        node = self._root
        for word in words_of(text):
            node = node.follows.setdefault(word, _Node({}, []))
        node.rules.append(rule)


def words_of(text: str) -> tuple[str, ...]:
    """The words in a row of a word rule. Raises UserError in one sentence for none, or too many."""
    if len(text) > LONGEST_TEXT:
        raise UserError(f"The rule has {len(text)} letters; {LONGEST_TEXT} is the most.")
    words = fold(text).words
    if not words:
        raise UserError(f"There is no word in {text!r}; write the words to look for.")
    if len(words) > LONGEST_WORDS:
        raise UserError(f"The rule has {len(words)} words in a row; {LONGEST_WORDS} is the most.")
    return words


def _of_site(rule: SiteRule) -> Rule:
    return Rule(
        f"site.{rule.id}", rule.category, rule.severity, rule.action, rule.side, rule.agent_id,
        primary(rule.language),
    )  # fmt: skip


def _denied(folded: Folded, begin: int, end: int, inside: bool) -> bool:
    """Whether a "not" stands beside, in the same clause; or, where words may stand between those of
    the rule, ``inside``."""
    clause = max(folded.text.rfind(sign, 0, begin) for sign in _CLAUSE_ENDS)
    ends = [at for sign in _CLAUSE_ENDS if (at := folded.text.find(sign, end)) >= 0]
    last = min(ends, default=len(folded.text))
    placed = list(zip(folded.words, folded.spans, strict=True))
    before = [word for word, span in placed if clause < span[0] and span[1] <= begin]
    behind = [word for word, span in placed if span[0] >= end and span[1] <= last]
    between = fold(folded.text[begin:end]).words if inside else ()
    return not (
        _DENY_BEFORE.isdisjoint(before[-DENIALS_BEFORE:])
        and _DENY_BEHIND.isdisjoint(behind[:DENIALS_BEHIND])
        and _DENY_BEFORE.isdisjoint(between)
    )


@lru_cache(maxsize=1)
def builtin_texts() -> tuple[Texts, Texts]:
    """(words, patterns) of the files of the package, each with its rule."""
    words: list[tuple[str, Rule]] = []
    patterns: list[tuple[str, Rule]] = []
    for file in sorted(BUILTIN.glob("*.toml")):
        table = tomllib.loads(file.read_text("utf-8"))
        for entry in table["rules"]:
            rule = _builtin(entry, file.stem)
            words += _each(entry.get("words", ()), rule)
            patterns += _each(entry.get("patterns", ()), rule)
    return tuple(words), tuple(patterns)


def _each(texts: Iterable[str], rule: Rule) -> list[tuple[str, Rule]]:
    return [(text, rule) for text in texts]


def _builtin(entry: dict[str, Any], name: str) -> Rule:
    return Rule(
        f"{entry['name']}.{name}", entry["category"], entry["severity"], entry["action"],
        entry["side"], "", entry.get("language", ""),
        entry.get("unless_denied", False), entry.get("unless_quoted", False),
    )  # fmt: skip
