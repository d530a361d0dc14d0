"""A rule of the site as somebody writes it: refused at the edge, in one sentence, when it is none."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

from appliance.errors import UserError
from appliance.events import Severity
from appliance.languages import primary
from appliance.safety.findings import Action
from appliance.safety.patterns import compile_pattern
from appliance.safety.rules import SiteRule, words_of

KINDS = ("words", "pattern")
SIDES = ("agent", "caller", "both")
SEVERITIES: tuple[str, ...] = get_args(Severity)
ACTIONS: tuple[str, ...] = get_args(Action)
_CATEGORY = re.compile("[a-z][a-z0-9-]{0,39}")
_LANGUAGE = re.compile("[a-z]{2,3}")
_CHOICES = (
    ("kind", KINDS), ("side", SIDES), ("severity", SEVERITIES), ("action", ACTIONS),
)  # fmt: skip


def checked(rule: SiteRule) -> SiteRule:
    """The rule, its text and language tidied. Raises UserError: what is wrong and what to do."""
    for name, choices in _CHOICES:
        value = getattr(rule, name)
        if value not in choices:
            raise UserError(f"The {name} {value!r} is none; it is one of {', '.join(choices)}.")
    language = primary(rule.language) if rule.language else ""
    if language and not _LANGUAGE.fullmatch(language):
        raise UserError(
            f"The language {rule.language!r} is none; write a code such as en, hi or ta."
        )
    if not _CATEGORY.fullmatch(rule.category):
        raise UserError(
            f"The category {rule.category!r} must be small letters, digits and -, 40 at most."
        )
    text = rule.text.strip()
    if "\x00" in text:
        raise UserError("The rule holds a zero byte; leave it out.")
    if rule.kind == "words":
        words_of(text)
    else:
        compile_pattern(text)
    return replace(rule, text=text, language=language)
