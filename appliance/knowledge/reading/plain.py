"""Plain text → paragraphs, with headings where a text without marks shows them."""

from __future__ import annotations

import re

from appliance.knowledge.reading.clean import (
    hyphenated,
    join_lines,
    one_line,
    one_line_each,
    without_bullet,
)
from appliance.knowledge.reading.document import Block, Page
from appliance.knowledge.reading.encodings import check_legacy, decode
from appliance.knowledge.reading.markdown import as_sentence, blocks
from appliance.knowledge.reading.parsed import OnPages, Parsed

LONGEST_HEADING_WORDS = 12
_RULE = re.compile(r"[-=_*~#.\s]{3,}$")
_ITEM = re.compile(r"(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")


def parse_text(original: bytes, name: str, on_pages: OnPages) -> Parsed:
    """Paragraphs between empty lines. Raises RefusedDocumentError for no readable text."""
    text = decode(original, name)
    check_legacy(text, name)
    on_pages(1, 1)
    return Parsed([Page(None, tuple(_paragraphs(one_line_each(text))))])


def parse_markdown(original: bytes, name: str, on_pages: OnPages) -> Parsed:
    """Markdown's headings, paragraphs, lists and tables."""
    text = decode(original, name)
    check_legacy(text, name)
    on_pages(1, 1)
    found = blocks(one_line_each(text))
    return Parsed([Page(None, tuple(found))])


def _paragraphs(text: str) -> list[Block]:
    known = hyphenated(text.split("\n"))
    found: list[Block] = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.split("\n") if line and not _RULE.match(line)]
        if not lines:
            continue
        if len(lines) == 1 and is_heading(lines[0]):
            found.append(Block("heading", lines[0], 2))
        elif len(lines) > 1 and lines[0].endswith("?") and not _ITEM.match(lines[1]):
            found.append(Block("faq", join_lines(lines[1:], known), question=one_line(lines[0])))
        else:
            found += _items(lines, known)
    return found


def _items(lines: list[str], known: set[str]) -> list[Block]:
    """A paragraph; where its lines are items of a list, each is a sentence."""
    groups: list[list[str]] = [[]]
    listed = False
    for line in lines:
        item = _ITEM.match(line)
        if item and len(lines) > 1:
            listed = True
            groups.append([])
            line = line[item.end() :]
        groups[-1].append(without_bullet(line) or line)
    texts = [join_lines(group, known) for group in groups if group]
    if listed:
        texts = [" ".join(as_sentence(text) for text in texts if text)]
    return [Block("text", text) for text in texts if text]


def is_heading(line: str) -> bool:
    """A short line by itself that is no sentence: all capitals, a question, or without a stop."""
    words = line.split()
    if not 0 < len(words) <= LONGEST_HEADING_WORDS or not any(c.isalpha() for c in line):
        return False
    if line.endswith("?"):
        return True
    if line.endswith((".", "!", ",", ";", "।", ":")) or _ITEM.match(line):
        return False
    return line.isupper() or line.istitle()
