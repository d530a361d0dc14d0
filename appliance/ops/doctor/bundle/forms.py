"""What the appliance can say: the texts of its log calls, errors and findings, read from its source.

A line of the log is shown only where it has one of these forms; what stands in their gaps is decided
one by one (``masking``). So a caller's word is not found and hidden; it is never let in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import appliance

LEAST_LETTERS = 6
"""Of its own that a form must have; with fewer it would fit anything."""
SAYING = frozenset({
    "debug", "info", "warning", "error", "exception", "critical", "log", "_fail", "failed",
    "UserError", "EngineError", "ProtocolError", "SwitchError", "RefusedError",
})  # fmt: skip
"""What is called with a text for the log, or to raise an error."""
TOLD = ("ops/doctor", "ops/alarms.py", "telephony/diagnose.py")
"""Parts of the source whose every text is said to operators only."""
_GAP = re.compile(r"%(?:\(\w+\))?[-+ #0]*[\d*]*(?:\.[\d*]+)?[sdrfgxi]|\{\w*\}")


@dataclass(frozen=True, slots=True)
class Form:
    """One text: its own words, and gaps between them."""

    pattern: re.Pattern[str]
    head: str
    tail: str
    """How it begins and ends: most lines are told apart by these alone."""
    letters: int
    """Of its own words."""

    def match(self, text: str) -> re.Match[str] | None:
        """``text`` as this form; None: it has another."""
        if not (text.startswith(self.head) and text.endswith(self.tail)):
            return None
        return self.pattern.fullmatch(text)


@cache
def log_forms() -> tuple[Form, ...]:
    """Of everything that is logged or raised, the most particular first. Takes a second or two."""
    return _made(_logged())


@cache
def told_forms() -> tuple[Form, ...]:
    """Of everything that the doctor says."""
    return _made(_said())


def _made(texts: Iterator[list[str]]) -> tuple[Form, ...]:
    found: dict[str, Form] = {}
    for parts in texts:
        letters = sum(letter.isalpha() for part in parts for letter in part)
        if letters >= LEAST_LETTERS:
            text = "(.*?)".join(map(re.escape, parts))
            found[text] = Form(re.compile(text, re.DOTALL), parts[0], parts[-1], letters)
    return tuple(sorted(found.values(), key=lambda form: -form.letters))


def _sources(below: tuple[str, ...] = ("",)) -> Iterator[ast.Module]:
    root = Path(appliance.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if str(path.relative_to(root)).startswith(below):
            try:
                yield ast.parse(path.read_text(encoding="utf-8"))
            except (OSError, SyntaxError):
                continue


def _logged() -> Iterator[list[str]]:
    for tree in _sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and _called(node.func) in SAYING:
                yield from (parts for arg in node.args if (parts := _parts(arg)))


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _said() -> Iterator[list[str]]:
    for tree in _sources(TOLD):
        for node in ast.walk(tree):
            if parts := _parts(node):
                yield parts


def _parts(node: ast.AST) -> list[str]:
    """The words of a text around its gaps; nothing where it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _GAP.split(node.value.replace("%%", "%"))
    if isinstance(node, ast.JoinedStr):
        parts = [""]
        for piece in node.values:
            if isinstance(piece, ast.Constant):
                parts[-1] += str(piece.value)
            else:
                parts.append("")
        return parts
    return []
