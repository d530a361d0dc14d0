"""Whatever a check or an alarm says has its Hindi: found in the source, sentence by sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import appliance.ops.doctor
from appliance.admin.ui.words import translator
from appliance.ops import alarms
from appliance.ops.doctor.check import Finding, Group, State
from appliance.ops.doctor.checks import CHECKS
from appliance.ops.doctor.run import SLOW
from appliance.ops.doctor.sentences import in_words, worded, words

HOME = Path(appliance.ops.doctor.__file__).parent
FILES = sorted(
    file for file in HOME.glob("*.py") if file.stem not in ("box", "check", "checks", "command")
)  # fmt: skip
NAMES = re.compile(r"[\w=/-]*[._=/-][\w.=/-]*|(?:mkdir|systemctl|chmod) .*|(?:\W*\{\w+\}\W*)*")
"""What is the same in every language: settings, commands alone."""
SAYS = {"Finding": (2, 3), "worded": (0,), "words": (0,), "Trouble": (1,), "_closed": (2,)}
"""Which arguments of a call are words."""
KEPT = {"what", "do", "good", "why", "told", "state_words", "remedy", "trouble"}
"""Names that hold words."""
SAID_ELSEWHERE = {"Step", "print", "UserError"}
"""Told at the keyboard alone."""


def _texts(node: ast.expr | None) -> Iterator[tuple[str, bool]]:
    """The texts that an expression may be; whether each was put together on the spot."""
    match node:
        case ast.Constant(value=str(text)):
            yield text, False
        case ast.JoinedStr():
            yield ast.unparse(node), True
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one)
            yield from _texts(other)
        case ast.BoolOp(values=values):
            for one in values:
                yield from _texts(one)
        case ast.Tuple(elts=elements):
            for one in elements:
                yield from _texts(one)


def said(file: Path) -> Iterator[tuple[int, str, bool]]:
    """Every text of a file that is told: its line, itself, whether it was put together."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        line = getattr(node, "lineno", 0)
        found: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            found = [node.args[place] for place in SAYS.get(name, ()) if place < len(node.args)]
            found += [w.value for w in node.keywords if w.arg in KEPT and name != "worded"]
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in KEPT:
            found = [node.value]
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            found = [one for one in node.value.elts if _is_state(node.value.elts[0])][1:]
        for one in found:
            yield from ((line, text, made) for text, made in _texts(one) if text)


def _is_state(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "State"


def test_every_sentence_of_a_check_has_its_hindi() -> None:
    hindi = translator("hi")
    seen, missing, made = 0, [], []
    for file in FILES:
        for line, text, together in said(file):
            seen += 1
            if together:
                made.append((file.name, line, text))
            elif hindi(text) == text and not NAMES.fullmatch(text):
                missing.append((file.name, line, text))
    assert seen > 180  # or nothing was found
    assert made == [], "say it with worded(), or nobody can say it in another language"
    assert missing == []


def test_every_alarm_has_its_hindi() -> None:
    """A template made on the spot would be none."""
    hindi, seen = translator("hi"), 0
    tree = ast.parse(Path(alarms.__file__).read_text("utf-8"))
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Alarm":
            for given in node.args[2:4]:
                given = constants[given.id] if isinstance(given, ast.Name) else given
                for text, together in _texts(given):
                    seen += 1
                    assert not together and hindi(text) != text, text
    assert seen > 50


def test_every_title_group_and_state_has_its_hindi() -> None:
    hindi = translator("hi")
    told = [*(one.title for one in CHECKS), *Group, *State, *SLOW]
    english = {str(one) for one in told if hindi(str(one)) == str(one)}
    assert english <= {"GPU", "SIP"}


def test_a_sentence_in_a_sentence_is_said_too() -> None:
    known = {"Redis: {why}.": "{why} – Redis.", "it is away": "वह नहीं है", "Disk": "डिस्क"}
    inner = words("it is away")
    finding = Finding("x", State.BAD, worded("Redis: {why}.", why=inner), "Disk")
    assert (finding.told, finding.advice) == ("Redis: it is away.", "Disk")

    def t(text: str) -> str:
        return known.get(text, text)

    assert (finding.told_in(t), finding.advice_in(t)) == ("वह नहीं है – Redis.", "डिस्क")
    assert in_words(worded("{name} {count}", name="it is away", count=2), t) == "it is away 2"
    assert finding.facts()["what"] == "Redis: it is away." and type(finding.told) is str


def test_braces_in_what_was_found_are_no_places() -> None:
    found = Finding("x", State.BAD, worded("{path} is open.", path="/a/{b}"))
    assert found.told == "/a/{b} is open." == found.told_in(lambda text: text)
    plain = Finding("x", State.BAD, "There is {no} such thing.")
    assert plain.told == "There is {no} such thing."
