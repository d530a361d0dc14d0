"""The console's words: written in English in the code, looked up here for another language."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources

LANGUAGES = {"en": "English", "hi": "हिन्दी"}

Translate = Callable[[str], str]


def translator(language: str) -> Translate:
    """English text -> the same in ``language``; what is not translated stays English."""
    found = _dictionary(language) if language in LANGUAGES else {}
    return lambda text: found.get(text, text)


@cache
def _dictionary(language: str) -> dict[str, str]:
    """All of ``words/LANGUAGE_*.toml``."""
    whole: dict[str, str] = {}
    for file in (resources.files(__package__) / "words").iterdir():
        if file.name.startswith(f"{language}_") and file.name.endswith(".toml"):
            whole |= tomllib.loads(file.read_text("utf-8"))
    return whole
