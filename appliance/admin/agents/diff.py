"""What is different between two states of an agent: field by field, and word by word in its texts.

Pure. Texts are compared by lines first and by words where lines differ, so that a changed word in a
long prompt shows as that word (``difflib``, Ratcliff and Obershelp).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

Kind = Literal["changed", "added", "removed"]
PieceKind = Literal["same", "removed", "added"]

MOST_WORDS = 600
"""Of the lines of one change, on one side: beyond it they are shown as replaced whole, since comparing
words takes the square of their number."""
MOST_LINES = 1500
"""Of a text, and entries of a list, for the same reason."""
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a text: on both sides, only before (removed), or only after (added)."""

    kind: PieceKind
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One field that is not the same, or one entry of a table or list."""

    field: str
    entry: str
    """Of a table, the key; of a list or a single value empty."""
    kind: Kind
    before: str
    """As people read it; empty: nothing."""
    after: str
    pieces: tuple[Piece, ...] = ()
    """Of a text: before and after in one. Empty for what is no text or is there on one side only."""


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes that lead from ``before`` to ``after``, in the order of the fields of ``after``.

    Values are what JSON holds: texts, numbers, booleans, lists of texts, tables of texts. None, an
    empty text, list or table and a missing field are the same: nothing.
    """
    names = [*after, *(name for name in before if name not in after)]
    return tuple(
        change for name in names for change in _field(name, before.get(name), after.get(name))
    )


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are not the same."""
    return tuple(dict.fromkeys(change.field for change in diff(before, after)))


def _field(name: str, before: Any, after: Any) -> list[Change]:
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        return _table(name, _mapping(before), _mapping(after))
    if _is_list(before) or _is_list(after):
        return _list(name, _sequence(before), _sequence(after))
    return _single(name, "", before, after)


def _single(name: str, entry: str, before: Any, after: Any) -> list[Change]:
    if _nothing(before) and _nothing(after):
        return []
    if type(before) is type(after) and before == after:
        return []
    if _nothing(before):
        return [Change(name, entry, "added", "", shown(after))]
    if _nothing(after):
        return [Change(name, entry, "removed", shown(before), "")]
    texts = isinstance(before, str) and isinstance(after, str)
    pieces = compare(before, after) if texts else ()
    return [Change(name, entry, "changed", shown(before), shown(after), pieces)]


def _table(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    keys = [*after, *(key for key in before if key not in after)]
    return [c for key in keys for c in _single(name, str(key), before.get(key), after.get(key))]


def _list(name: str, before: Sequence[Any], after: Sequence[Any]) -> list[Change]:
    left, right = [shown(item) for item in before], [shown(item) for item in after]
    if left == right:
        return []
    changes: list[Change] = []
    for op, i, j, k, m in _opcodes(left, right, MOST_LINES):
        if op == "equal":
            continue
        paired = min(j - i, m - k)
        for offset in range(paired):
            changes += _single(name, "", left[i + offset], right[k + offset])
        changes += [Change(name, "", "removed", item, "") for item in left[i + paired : j]]
        changes += [Change(name, "", "added", "", item) for item in right[k + paired : m]]
    return changes


def compare(before: str, after: str) -> tuple[Piece, ...]:
    """Both texts in one: those pieces that are not ``added`` are the one before, those that are not
    ``removed`` the one after."""
    left, right = before.splitlines(keepends=True), after.splitlines(keepends=True)
    found: list[Piece] = []
    for op, i, j, k, m in _opcodes(left, right, MOST_LINES):
        old, new = "".join(left[i:j]), "".join(right[k:m])
        if op == "equal":
            found.append(Piece("same", old))
        else:
            found += _words(old, new)
    return _joined(found)


def _words(before: str, after: str) -> list[Piece]:
    left, right = _WORD.findall(before), _WORD.findall(after)
    pieces: list[Piece] = []
    for op, i, j, k, m in _opcodes(left, right, MOST_WORDS):
        old, new = "".join(left[i:j]), "".join(right[k:m])
        if op == "equal":
            pieces.append(Piece("same", old))
        else:
            pieces += [Piece("removed", old), Piece("added", new)]
    return pieces


def _opcodes(
    left: Sequence[str], right: Sequence[str], most: int
) -> list[tuple[str, int, int, int, int]]:
    if max(len(left), len(right)) > most:
        return [("replace", 0, len(left), 0, len(right))]
    return list(SequenceMatcher(None, left, right, autojunk=False).get_opcodes())


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Neighbours of one kind as one piece, empty ones left out."""
    joined: list[Piece] = []
    for piece in pieces:
        if not piece.text:
            continue
        if joined and joined[-1].kind == piece.kind:
            joined[-1] = Piece(piece.kind, joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return tuple(joined)


def shown(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _nothing(value: Any) -> bool:
    return value is None or value == ""


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if _is_list(value) else ()
