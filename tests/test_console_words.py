"""Every sentence that the console shows has a Hindi one."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import appliance.admin
from appliance.admin.ui.layout import MENU
from appliance.admin.ui.words import translator

HOME = Path(appliance.admin.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
PLACE = re.compile(r"\{[^}]*\}")
DEVANAGARI = re.compile(r"[\u0900-\u097f]")
UNCHANGED = re.compile(r"^[\W\dA-Z]*$|^[\w.-]*\.[a-z]+$")
"""What is written the same: names, units, abbreviations (API, DID, CSV)."""


def literals(file: Path) -> list[str]:
    """The English of every ``t("…")`` and the title of every ``@page("…", …, "…")``."""
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        if name == "t" and isinstance(node.args[0], ast.Constant):
            found.append(node.args[0].value)
        if name == "page" and len(node.args) > 2 and isinstance(node.args[2], ast.Constant):
            found.append(node.args[2].value)
    return [text for text in found if isinstance(text, str)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))
def test_a_file_says_nothing_that_has_no_hindi(file: Path) -> None:
    hindi = translator("hi")
    missing = {text for text in literals(file) if hindi(text) == text and not UNCHANGED.match(text)}
    assert not missing


def test_the_menu_has_hindi() -> None:
    hindi = translator("hi")
    titles = [group for group, _ in MENU] + [e.title for _, entries in MENU for e in entries]
    assert [title for title in titles if hindi(title) == title] == []


def dictionaries() -> dict[str, dict[str, str]]:
    return {
        file.name: tomllib.loads(file.read_text("utf-8"))
        for file in (HOME / "ui" / "words").glob("hi_*.toml")
    }


def test_a_translation_keeps_the_places_and_is_hindi() -> None:
    for name, words in dictionaries().items():
        for english, hindi in words.items():
            assert Counter(PLACE.findall(english)) == Counter(PLACE.findall(hindi)), (name, english)
            assert DEVANAGARI.search(hindi) or UNCHANGED.match(english), (name, english)


def test_one_sentence_is_translated_in_one_place() -> None:
    places: dict[str, list[str]] = {}
    for name, words in dictionaries().items():
        for english in words:
            places.setdefault(english, []).append(name)
    several = {english: found for english, found in places.items() if len(found) > 1}
    assert several == {}, "what several pages say stands in hi_shared.toml"
