"""PPTX → a page for each slide: its title, its text from top to bottom, its notes."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pptx import Presentation
from pptx.oxml.ns import qn

from appliance.knowledge.reading.clean import one_line, without_bullet
from appliance.knowledge.reading.document import Block, Page, ReadOptions, RefusedDocumentError
from appliance.knowledge.reading.markdown import as_sentence
from appliance.knowledge.reading.parsed import Hidden, OnPages, Parsed
from appliance.knowledge.reading.tables import table_blocks

LEAST_SIZE = 300
"""Hundredths of a point."""
LIGHT = 0xF5
MOST_SHAPES = 5000
"""Of one slide."""


def parse_slides(original: bytes, name: str, options: ReadOptions, on_pages: OnPages) -> Parsed:
    """The slides that are shown. Raises RefusedDocumentError: too many."""
    show: Any = Presentation(BytesIO(original))
    total = len(show.slides)
    if total > options.max_pages:
        raise RefusedDocumentError(
            f"{name} has {total} slides, above the limit of {options.max_pages}; split it."
        )
    hidden = Hidden()
    pages, left_out = [], []
    for number, slide in enumerate(show.slides, 1):
        if slide._element.get("show") in ("0", "false"):
            left_out.append(str(number))
        else:
            reading = _Slide(slide, show.slide_width, show.slide_height, hidden)
            pages.append(Page(number, tuple(reading.blocks())))
        on_pages(number, total)
    notes = hidden.notes()
    if left_out:
        notes.append(f"Left out hidden slides: {', '.join(left_out)}.")
    return Parsed(pages, notes)


class _Slide:
    """One slide."""

    def __init__(self, slide: Any, width: int, height: int, hidden: Hidden) -> None:
        self._slide = slide
        self._width = width
        self._height = height
        self._hidden = hidden
        self._dark = not _has_plain_background(slide)

    def blocks(self) -> Iterator[Block]:
        """Title first, then every shape from top to bottom, then the speaker's notes."""
        title = self._slide.shapes.title
        if title is not None and one_line(title.text_frame.text):
            yield Block("heading", one_line(title.text_frame.text), 1)
        for shape in self._shapes():
            if title is not None and shape.shape_id == title.shape_id:
                continue
            if getattr(shape, "has_table", False) and shape.has_table:
                rows = [
                    [self._text(cell.text_frame, True) for cell in row.cells]
                    for row in shape.table.rows
                ]
                yield from table_blocks(rows, True if shape.table.first_row else None)
            elif shape.has_text_frame:
                text = self._text(shape.text_frame, self._painted(shape))
                if text:
                    yield Block("text", text)
        if self._slide.has_notes_slide and self._slide.notes_slide.notes_text_frame is not None:
            text = self._text(self._slide.notes_slide.notes_text_frame, True)
            if text:
                yield Block("text", text)

    def _shapes(self) -> list[Any]:
        """Shapes that can be seen, also those of groups, in the order of reading."""
        found: list[Any] = []
        stack = list(self._slide.shapes)
        while stack and len(found) < MOST_SHAPES:
            shape = stack.pop()
            if _is_hidden(shape):
                self._hidden.add("hidden shapes", _all_text(shape))
            elif hasattr(shape, "shapes"):
                stack.extend(shape.shapes)
            elif self._off(shape):
                self._hidden.add("text off the slide", _all_text(shape))
            else:
                found.append(shape)
        line = max(1, self._height // 30)
        return sorted(found, key=lambda s: ((s.top or 0) // line, s.left or 0))

    def _off(self, shape: Any) -> bool:
        if shape.left is None or shape.top is None or _in_group(shape):
            return False  # a group has a space of its own
        return bool(
            shape.left >= self._width
            or shape.top >= self._height
            or shape.left + shape.width <= 0
            or shape.top + shape.height <= 0
        )

    def _painted(self, shape: Any) -> bool:
        """Whether white type might be seen on it."""
        if self._dark or _in_group(shape):
            return True
        properties = shape._element.find(qn("p:spPr"))
        style = shape._element.find(qn("p:style"))
        own = properties is not None and any(
            properties.find(qn(kind)) is not None
            for kind in ("a:solidFill", "a:gradFill", "a:blipFill", "a:pattFill")
        )
        return own or style is not None or self._over_another(shape)

    def _over_another(self, shape: Any) -> bool:
        """Whether a picture or a painted shape lies below its middle."""
        if shape.left is None or shape.top is None:
            return True
        x, y = shape.left + shape.width // 2, shape.top + shape.height // 2
        for other in self._slide.shapes:
            if other.shape_id == shape.shape_id:
                return False
            if other.left is None or other.top is None:
                continue
            inside = (
                other.left <= x <= other.left + other.width
                and other.top <= y <= other.top + other.height
            )
            if inside and not (other.has_text_frame and other.text_frame.text.strip()):
                return True
        return False

    def _text(self, frame: Any, painted: bool) -> str:
        """Each paragraph as a sentence."""
        paragraphs = []
        for paragraph in frame.paragraphs:
            shown = []
            for run in paragraph._p:
                text = "".join(part.text or "" for part in run.iter(qn("a:t")))
                if run.tag == qn("a:br"):
                    text = " "
                why = _hidden_run(run, painted)
                if why:
                    self._hidden.add(why, text)
                else:
                    shown.append(text)
            text = one_line("".join(shown))
            if text:
                paragraphs.append(without_bullet(text) or text)
        if len(paragraphs) == 1:
            return paragraphs[0]
        return " ".join(as_sentence(text) for text in paragraphs)


def _in_group(shape: Any) -> bool:
    return bool(shape._element.getparent().tag == qn("p:grpSp"))


def _is_hidden(shape: Any) -> bool:
    return any(
        element.get("hidden") in ("1", "true")
        for element in list(shape._element)[:1]
        for element in element.iter(qn("p:cNvPr"))
    )


def _all_text(shape: Any) -> str:
    return " ".join(part.text or "" for part in shape._element.iter(qn("a:t")))


def _hidden_run(run: Any, painted: bool) -> str:
    properties = run.find(qn("a:rPr"))
    if properties is None:
        return ""
    size = properties.get("sz") or ""
    if size.isdigit() and int(size) < LEAST_SIZE:
        return "text too small to be read"
    fill = properties.find(qn("a:solidFill"))
    if fill is None or painted:
        return ""
    colour = fill.find(qn("a:srgbClr"))
    if colour is not None and _is_light(colour.get("val")):
        return "white text on white"
    alpha = fill.find(f".//{qn('a:alpha')}")
    if alpha is not None and (alpha.get("val") or "") in ("0", "0%"):
        return "transparent text"
    scheme = fill.find(qn("a:schemeClr"))
    if scheme is not None and scheme.get("val") in ("bg1", "lt1") and not len(scheme):
        return "text in the colour of its background"
    return ""


def _is_light(value: str | None) -> bool:
    try:
        return value is not None and len(value) == 6 and min(bytes.fromhex(value)) >= LIGHT
    except ValueError:
        return False


def _has_plain_background(slide: Any) -> bool:
    """Whether the slide's background is none, or white: only then is white type unseen."""
    layout = slide.slide_layout
    for part in (slide, layout, layout.slide_master):
        background = part._element.find(f"{qn('p:cSld')}/{qn('p:bg')}")
        if background is None:
            continue
        colour = background.find(f".//{qn('a:srgbClr')}")
        if colour is not None:
            return _is_light(colour.get("val"))
        scheme = background.find(f".//{qn('a:schemeClr')}")
        return scheme is not None and scheme.get("val") in ("bg1", "lt1")
    return True
