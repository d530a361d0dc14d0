"""DOCX → headings, paragraphs, lists and tables, without what is hidden in it."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from docx import Document
from docx.oxml.ns import qn
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph

from appliance.knowledge.reading.clean import one_line, without_bullet
from appliance.knowledge.reading.document import Block, Page, ReadOptions, RefusedDocumentError
from appliance.knowledge.reading.markdown import as_sentence
from appliance.knowledge.reading.parsed import Hidden, OnPages, Parsed
from appliance.knowledge.reading.tables import table_blocks

LONGEST_BOLD_WORDS = 14
BOLD_LEVEL = 8
"""Below every heading that says it is one."""
LEAST_HALF_POINTS = 6
LIGHT = 0xF5
MOST_LEGACY_SHARE = 0.1
LEGACY_FONTS = (
    "kruti",
    "devlys",
    "chanakya",
    "shree-dev",
    "walkman",
    "shivaji",
    "aps-dv",
    "akruti",
)

_TEXT, _TAB, _BREAK, _RUN = qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:r")
_SKIPPED = frozenset(
    (
        *map(qn, ("w:del", "w:moveFrom", "w:instrText", "w:pPr", "w:rPr")),
        "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    )
)


def parse_word(original: bytes, name: str, options: ReadOptions, on_pages: OnPages) -> Parsed:
    """The body of a Word document. Running heads, comments and deleted text are no part of it.

    Raises RefusedDocumentError: text in a legacy Indic font."""
    document = Document(BytesIO(original))
    reading = _Reading()
    blocks = list(reading.blocks(document))
    if reading.legacy_chars > MOST_LEGACY_SHARE * max(1, reading.chars):
        raise RefusedDocumentError(
            f"{name} is set in a legacy Indic font (Kruti Dev and its like), whose letters are no "
            "text; convert it to Unicode, or set it again in a Unicode font."
        )
    on_pages(1, 1)
    return Parsed([Page(None, tuple(blocks))], reading.hidden.notes())


class _Reading:
    """One document, from its beginning."""

    def __init__(self) -> None:
        self.hidden = Hidden()
        self.chars = 0
        self.legacy_chars = 0

    def blocks(self, container: Any) -> Iterator[Block]:
        """The blocks of a document or of a cell, in their order."""
        items: list[str] = []
        for part in container.iter_inner_content():
            if isinstance(part, Table):
                yield from _listed(items)
                items = []
                yield from self._table(part)
                continue
            text = one_line(self.text(part))
            if not text:
                continue
            level = _level(part)
            if level:
                yield from _listed(items)
                items = []
                yield Block("heading", text, level)
            elif _is_item(part) or without_bullet(text) is not None:
                items.append(without_bullet(text) or text)
            else:
                yield from _listed(items)
                items = []
                yield Block("text", text)
        yield from _listed(items)

    def text(self, paragraph: Paragraph) -> str:
        """The visible text of a paragraph, with links, text boxes and inserted text."""
        found: list[str] = []
        shaded = _is_shaded(paragraph)
        for run in _runs(paragraph._p):
            text = "".join(_pieces(run))
            why = _hidden_run(run, paragraph, shaded)
            if why:
                self.hidden.add(why, text)
                continue
            self.chars += len(text)
            if _is_legacy(run):
                self.legacy_chars += len(text)
            found.append(text)
        return "".join(found)

    def _table(self, table: Table) -> Iterator[Block]:
        # not row.cells: it repeats a cell for each column that it says it spans
        rows = [[_Cell(cell, table) for cell in row._tr.tc_lst] for row in table.rows]
        if rows and max(map(len, rows)) <= 1:  # a frame around text
            for row in rows:
                for cell in row:
                    yield from self.blocks(cell)
            return
        texts: list[list[str]] = []
        for row in rows:
            above = texts[-1] if texts else []
            texts.append(
                [
                    above[n]
                    if cell._tc.vMerge == "continue" and n < len(above)
                    else self._cell(cell)
                    for n, cell in enumerate(row)
                ]
            )
        yield from table_blocks(texts, True if _has_header(table) else None)

    def _cell(self, cell: _Cell) -> str:
        texts = [
            one_line(self.text(part)) if isinstance(part, Paragraph) else self._nested(part)
            for part in cell.iter_inner_content()
        ]
        return " ".join(text for text in texts if text)

    def _nested(self, table: Table) -> str:
        return " ".join(block.text for block in self._table(table))


def _listed(items: list[str]) -> Iterator[Block]:
    if items:
        yield Block("text", " ".join(as_sentence(item) for item in items))


def _runs(element: Any) -> Iterator[Any]:
    """The runs below ``element`` in order, without those of deleted text and of fallbacks."""
    stack = list(reversed(element))
    while stack:
        child = stack.pop()
        if child.tag in _SKIPPED:
            continue
        if child.tag == _RUN:
            yield child
        # a text box stands inside of a run
        stack.extend(reversed([part for part in child if len(part) or part.tag == _RUN]))


def _pieces(run: Any) -> Iterator[str]:
    for part in run:
        if part.tag == _TEXT:
            yield part.text or ""
        elif part.tag in (_TAB, _BREAK):
            yield " "


def _property(run: Any, name: str) -> Any:
    properties = run.find(qn("w:rPr"))
    return properties.find(qn(name)) if properties is not None else None


def _hidden_run(run: Any, paragraph: Paragraph, shaded: bool) -> str:
    """Why nobody sees the run; empty when one does."""
    vanish = _property(run, "w:vanish")
    if vanish is not None:
        if vanish.get(qn("w:val")) not in ("0", "false", "off"):
            return "hidden text"
    elif _style_hides(paragraph, run):
        return "hidden text"
    size = _property(run, "w:sz")
    if size is not None and (size.get(qn("w:val")) or "").isdigit():
        if int(size.get(qn("w:val"))) < LEAST_HALF_POINTS:
            return "text too small to be read"
    colour = _property(run, "w:color")
    own_shade = _property(run, "w:shd")
    marked = _property(run, "w:highlight") is not None or _fills(own_shade)
    if colour is not None and _is_light(colour.get(qn("w:val"))) and not (shaded or marked):
        return "white text on white"
    return ""


def _style_hides(paragraph: Paragraph, run: Any) -> bool:
    style: Any = paragraph.style
    named = _property(run, "w:rStyle")
    if named is not None:
        wanted = named.get(qn("w:val"))
        known: Any = paragraph.part
        style = next((s for s in known.document.styles if s.style_id == wanted), style)
    while style is not None:
        if style.font.hidden is not None:
            return bool(style.font.hidden)
        style = style.base_style
    return False


def _is_light(value: str | None) -> bool:
    try:
        return value is not None and len(value) == 6 and min(bytes.fromhex(value)) >= LIGHT
    except ValueError:
        return False


def _fills(shade: Any) -> bool:
    """Whether a ``w:shd`` paints something that is not white."""
    if shade is None:
        return False
    fill = shade.get(qn("w:fill"))
    pattern = shade.get(qn("w:val")) not in (None, "clear", "nil")
    return pattern or (fill not in (None, "auto") and not _is_light(fill))


def _is_shaded(paragraph: Paragraph) -> bool:
    """Whether white type would be seen: the paragraph, its cell or its box is painted."""
    element: Any = paragraph._p
    properties = element.find(qn("w:pPr"))
    if properties is not None and _fills(properties.find(qn("w:shd"))):
        return True
    for parent in element.iterancestors():
        if parent.tag == qn("w:tc"):
            cell = parent.find(qn("w:tcPr"))
            if cell is not None and _fills(cell.find(qn("w:shd"))):
                return True
            # a style of the table may paint it: nobody can tell from here
            table = next(parent.iterancestors(qn("w:tbl")), None)
            return table is not None and table.find(f".//{qn('w:tblStyle')}") is not None
        if parent.tag == qn("w:txbxContent"):
            return True
    return False


def _is_legacy(run: Any) -> bool:
    fonts = _property(run, "w:rFonts")
    names = " ".join(fonts.attrib.values()).lower() if fonts is not None else ""
    return any(font in names for font in LEGACY_FONTS)


def _level(paragraph: Paragraph) -> int:
    """Of a heading from 1; 0 for a paragraph."""
    style: Any = paragraph.style
    steps = 0
    while style is not None and steps < 10:  # styles are built on each other
        name = (style.name or "").lower()
        if name == "title":
            return 1
        if name.startswith("heading ") and name[8:].isdigit():
            return min(int(name[8:]) + 1, 7)
        style, steps = style.base_style, steps + 1
    outline = paragraph._p.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    if outline is not None and (outline.get(qn("w:val")) or "").isdigit():
        level = int(outline.get(qn("w:val")) or 0)
        return level + 2 if level < 9 else 0
    text = paragraph.text.strip()
    shown = [run for run in paragraph.runs if run.text.strip()]
    short = len(text.split()) <= LONGEST_BOLD_WORDS and not text.endswith((".", ",", ";", "।"))
    return BOLD_LEVEL if shown and short and all(run.bold for run in shown) else 0


def _is_item(paragraph: Paragraph) -> bool:
    if paragraph._p.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None:
        return True
    return ((paragraph.style.name if paragraph.style else "") or "").lower().startswith("list")


def _has_header(table: Table) -> bool:
    """Whether the first row says that it is repeated on each page, or is bold throughout."""
    if not table.rows:
        return False
    row = table.rows[0]
    cells = [_Cell(cell, table) for cell in row._tr.tc_lst]
    if row._tr.find(f"{qn('w:trPr')}/{qn('w:tblHeader')}") is not None:
        return True
    runs = [run for cell in cells for p in cell.paragraphs for run in p.runs if run.text.strip()]
    return bool(runs) and all(run.bold for run in runs)
