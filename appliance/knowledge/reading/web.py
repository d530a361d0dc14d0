"""HTML → headings, paragraphs, lists, tables and questions, as a reader of the page sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree, html

from appliance.knowledge.reading.clean import one_line
from appliance.knowledge.reading.document import Block, Page, RefusedDocumentError
from appliance.knowledge.reading.encodings import declared_in_html, decode
from appliance.knowledge.reading.markdown import as_sentence
from appliance.knowledge.reading.parsed import Hidden, OnPages, Parsed
from appliance.knowledge.reading.tables import table_blocks
from appliance.knowledge.reading.webseen import Sight

BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form header hr html li main nav ol p pre section summary table "
    "tbody td tfoot th thead tr ul h1 h2 h3 h4 h5 h6".split()
)
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BREAK = "\n"
"""What a ``<br>`` becomes; two of them part paragraphs."""
MAIN_SHARE = 0.4
"""Of the page's text: what calls itself its main part and holds so much is all that is read."""
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)


def parse_html(original: bytes, name: str, said: str, on_pages: OnPages) -> Parsed:
    """A web page. Scripts are never run; what they would have written is not there.

    ``said``: the server's media type, with a charset perhaps. Raises RefusedDocumentError."""
    found = _CHARSET.search(said)
    text = decode(original, name, found[1].lower() if found else declared_in_html(original))
    on_pages(1, 1)
    root = _root(text, name)
    if root is None:
        return Parsed([])
    hidden = Hidden()
    reading = _Reading(Sight(root, hidden))
    blocks = list(reading.blocks(_main(root)))
    title = one_line(root.findtext(".//title") or "")
    if title and not any(block.kind == "heading" and block.level == 1 for block in blocks):
        blocks.insert(0, Block("heading", title, 1))
    return Parsed([Page(None, tuple(blocks))], hidden.notes())


def _root(text: str, name: str) -> Any:
    # an encoding that the page declares says how it was, not how this text is
    data = text.replace("\0", "").encode("utf-8", "replace")
    parser = html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True
    )
    try:
        root = html.document_fromstring(data, parser=parser)
    except etree.ParserError:  # nothing in it
        return None
    if any("depth" in entry.message for entry in parser.error_log):
        raise RefusedDocumentError(
            f"{name} is nested thousands deep, as an attack is; save it again with a browser."
        )
    return root


def _main(root: Any) -> Any:
    whole = sum(len(text) for text in root.itertext())
    for path in (".//main", ".//*[@role='main']", ".//article"):
        parts = root.findall(path)
        if len(parts) == 1 and sum(len(text) for text in parts[0].itertext()) > MAIN_SHARE * whole:
            return parts[0]
    return root


class _Reading:
    """One page, from its beginning."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._items: list[str] = []

    def blocks(self, root: Any) -> Iterator[Block]:
        """The blocks below ``root`` in their order."""
        said: list[str] = []
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if not tag or (element is not root and not self._sight.sees(element)):
                    walk.skip_subtree()
                    continue
                if tag in BLOCKS or (tag == "br" and said[-1:] == [BREAK]):
                    yield from self._said(said, element)
                elif tag == "br":
                    said.append(BREAK)
                whole = self._whole(tag, element)
                if whole is not None:
                    yield from self._listed()
                    yield from whole
                    walk.skip_subtree()
                elif element.text:
                    said.append(element.text)
            else:
                if tag in BLOCKS:
                    yield from self._said(said, element)
                if tag in ("ul", "ol"):
                    yield from self._listed()
                if (
                    element is not root
                    and element.tail
                    and (element.tail.strip() or said[-1:] != [BREAK])
                ):
                    said.append(element.tail)
        yield from self._said(said, root)
        yield from self._listed()

    def _said(self, said: list[str], element: Any) -> Iterator[Block]:
        """What stands before a block begins or ends, as a paragraph or an item of a list."""
        text = one_line(" ".join("".join(said).split()))
        said.clear()
        if not text:
            return
        if _in_list(element):
            self._items.append(text)
            return
        yield from self._listed()
        yield Block("text", text)

    def _listed(self) -> Iterator[Block]:
        if self._items:
            yield Block("text", " ".join(as_sentence(item) for item in self._items))
            self._items = []

    def _whole(self, tag: str, element: Any) -> list[Block] | None:
        """The blocks of an element that is read as one; None for all others."""
        if tag in HEADINGS:
            text = self._sight.text(element)
            return [Block("heading", text, HEADINGS[tag])] if text else []
        if tag == "details":
            return self._details(element)
        if tag == "pre" and element.find(".//code") is not None:
            return []  # nobody can say it
        if tag == "dl":
            return self._definitions(element)
        if tag == "table" and element.find(".//table") is None:
            return self._table(element)
        return None

    def _details(self, element: Any) -> list[Block] | None:
        summary = element.find("summary")
        question = self._sight.text(summary) if summary is not None else ""
        if not question:
            return None
        answer = self._sight.text(element, without=summary)
        return [Block("faq", answer, question=question)]

    def _definitions(self, element: Any) -> list[Block]:
        found: list[Block] = []
        term = ""
        for part in element.iter("dt", "dd"):
            text = self._sight.text(part) if self._sight.sees(part) else ""
            if part.tag == "dt":
                term = text
            elif text and term.endswith("?"):
                found.append(Block("faq", text, question=term))
            elif text:
                found.append(
                    Block("text", as_sentence(f"{term.rstrip(':')}: {text}" if term else text))
                )
        return found

    def _table(self, element: Any) -> list[Block] | None:
        rows = [row for row in element.iter("tr") if self._sight.sees(row)]
        cells = [[cell for cell in row if cell.tag in ("td", "th")] for row in rows]
        if not cells or max(map(len, cells), default=0) < 2:
            return None  # a frame around text
        named = bool(cells[0]) and all(cell.tag == "th" for cell in cells[0])
        texts = [
            [self._sight.text(cell) if self._sight.sees(cell) else "" for cell in row]
            for row in cells
        ]
        return table_blocks(texts, True if named else None)


def _in_list(element: Any) -> bool:
    return element.tag == "li" or next(element.iterancestors("li"), None) is not None
