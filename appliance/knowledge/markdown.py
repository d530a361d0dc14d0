"""Markdown → the passages that answers are found in and spoken from.

A heading that asks a question and everything under it make one passage; under any other heading
each paragraph, list and table row is a passage of its own. Long ones are split at sentence ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.knowledge.sentences import sentences

LONGEST_WORDS = 120
"""About 40 s of speech and 160 tokens: whole within the embedding model's 256."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"(```|~~~)")
_ITEM = re.compile(r"(?:[-*+]|\d{1,3}[.)])\s+(.*)")
_RULE = re.compile(r"([-*_]\s*){3,}$")
_UNDERLINE = re.compile(r"(={2,}|-{2,})$")
_TABLE_RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_INLINE = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"</?[A-Za-z][^>]*>"), ""),
    (re.compile(r"(\*\*|__|~~|`)"), ""),
    (re.compile(r"(?<!\w)[*_](\S(?:[^*_]*\S)?)[*_](?!\w)"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|-])"), r"\1"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A passage as written, before it has a version and a vector."""

    heading: str
    """The question it answers, or the path of headings above it, joined by `` > ``."""
    text: str


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, list or table row under its path of headings."""

    path: tuple[str, ...]
    text: str


def passages(markdown: str) -> list[Draft]:
    """The passages of one document, in its order."""
    drafts: list[Draft] = []
    question: tuple[str, ...] | None = None
    answer: list[str] = []
    for block in [*_blocks(_COMMENT.sub("", markdown)), _Block((), "")]:
        if question is not None and block.path != question:
            drafts += _split(question[-1], " ".join(answer))
            question, answer = None, []
        if block.path and block.path[-1].endswith("?"):
            question = block.path
            answer.append(block.text)
        elif block.text:
            # the first heading is the document's title: it says nothing about one passage
            drafts += _split(" > ".join(block.path[1:] or block.path), block.text)
    return drafts


def _split(heading: str, text: str) -> Iterator[Draft]:
    part: list[str] = []
    words = 0
    for sentence in sentences(text):
        length = len(sentence.split())
        if part and words + length > LONGEST_WORDS:
            yield Draft(heading, " ".join(part))
            part, words = [], 0
        part.append(sentence)
        words += length
    if part:
        yield Draft(heading, " ".join(part))


def _plain(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!", "।", ":", ";")) else f"{text}."


def _blocks(markdown: str) -> Iterator[_Block]:
    path: list[tuple[int, str]] = []
    for lines in _groups(markdown.splitlines()):
        heading = _HEADING.match(lines[0])
        if heading:
            level = len(heading[1])
            path = [entry for entry in path if entry[0] < level]
            path.append((level, _plain(heading[2])))
            continue
        where = tuple(title for _, title in path)
        for text in _texts(lines):
            if text:
                yield _Block(where, text)


def _groups(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines that belong together: one heading, or what stands between blank lines.
    Fenced code is left out: nobody can say it."""
    group: list[str] = []
    fence = ""
    for raw in [*lines, ""]:
        line = raw.strip()
        mark = _FENCE.match(line)
        if fence or mark:
            fence = _after_fence(fence, mark)
            if group:
                yield group
            group = []
            continue
        if len(group) == 1 and _UNDERLINE.match(line):
            yield [f"{'#' if line[0] == '=' else '##'} {group.pop()}"]
            continue
        if not line or _HEADING.match(line) or (not group and _RULE.match(line)):
            if group:
                yield group
            group = []
            if line and not _RULE.match(line):
                yield [line]
            continue
        group.append(line)
    if group:
        yield group


def _after_fence(fence: str, mark: re.Match[str] | None) -> str:
    if not fence:
        return mark[1] if mark else ""
    return "" if mark and mark[1] == fence else fence


def _texts(lines: list[str]) -> list[str]:
    if len(lines) > 1 and _TABLE_RULE.match(lines[1]) and "|" in lines[0]:
        return _rows(lines)
    if _ITEM.match(lines[0]):
        return [" ".join(_items(lines))]
    return [_plain(" ".join(line.lstrip("> ") for line in lines))]


def _items(lines: list[str]) -> list[str]:
    """Each item of a list as a sentence."""
    items: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        if item:
            items.append(item[1])
        elif items:
            items[-1] += f" {line}"
    return [_sentence(_plain(item)) for item in items if _plain(item)]


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _rows(lines: list[str]) -> list[str]:
    """``Plan: Home. Price: 499 rupees.`` for each row."""
    names = _cells(lines[0])
    rows = []
    for line in lines[2:]:
        pairs = zip(names, _cells(line), strict=False)
        said = [_sentence(f"{name}: {cell}" if name else cell) for name, cell in pairs if cell]
        rows.append(" ".join(said))
    return rows
