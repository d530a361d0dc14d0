"""Markdown → blocks. Code, comments and markup are left out: nobody can say them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.knowledge.reading.document import Block

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"(```|~~~)")
_ITEM = re.compile(r"(?:[-*+]|\d{1,3}[.)])\s+(.*)")
_RULE = re.compile(r"([-*_]\s*){3,}$")
_UNDERLINE = re.compile(r"(={2,}|-{2,})$")
_TABLE_RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?$")
_INLINE = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"</?[A-Za-z][^>]*>"), ""),
    (re.compile(r"(\*\*|__|~~|`)"), ""),
    (re.compile(r"(?<!\w)[*_](\S(?:[^*_]*\S)?)[*_](?!\w)"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|-])"), r"\1"),
)
PIECE_CHARS = 2000
"""A paragraph of 300 words; a mark that stands across two pieces is left in the text."""
_SENTENCE_ENDS = (".", "?", "!", "।", "॥", "۔", ":", ";")


def blocks(markdown: str) -> list[Block]:
    """The headings, paragraphs, lists and table rows of one text, in its order."""
    return list(_blocks(_without_comments(markdown)))


def as_sentence(text: str) -> str:
    """``text`` with a full stop where it has no mark of its own."""
    return text if text.endswith(_SENTENCE_ENDS) else f"{text}."


def row_sentences(names: list[str], cells: list[str]) -> str:
    """``Plan: Home. Price: 499 rupees.`` for one row of a table."""
    pairs = zip(names, cells, strict=False)
    return " ".join(
        as_sentence(f"{name}: {cell}" if name else cell) for name, cell in pairs if cell
    )


def _without_comments(markdown: str) -> str:
    """By hand: a pattern would search the rest of the text for the end of each beginning."""
    kept = []
    position = 0
    while (begin := markdown.find("<!--", position)) >= 0:
        end = markdown.find("-->", begin + 4)
        if end < 0:
            break
        kept.append(markdown[position:begin])
        position = end + 3
    return "".join(kept) + markdown[position:]


def _plain(text: str) -> str:
    # in pieces: the patterns take the square of a text made of opening marks alone
    pieces = (text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))
    return " ".join("".join(map(_unmarked, pieces)).split())


def _unmarked(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text


def _blocks(markdown: str) -> Iterator[Block]:
    for lines in _groups(markdown.splitlines()):
        heading = _HEADING.match(lines[0])
        if heading:
            yield Block("heading", _plain(heading[2]), len(heading[1]))
            continue
        for text in _texts(lines):
            if text:
                yield Block("text", text)


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
        names = _cells(lines[0])
        return [row_sentences(names, _cells(line)) for line in lines[2:]]
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
    return [as_sentence(_plain(item)) for item in items if _plain(item)]


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
