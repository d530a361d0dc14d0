"""Pictures of pages → text, by the program Tesseract where it is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Sequence
from io import BytesIO, StringIO
from itertools import groupby
from statistics import mean, median
from typing import TYPE_CHECKING

from appliance.knowledge.reading.clean import join_lines
from appliance.knowledge.reading.document import Block, Page, ReadOptions, RefusedDocumentError
from appliance.knowledge.reading.parsed import OnPages, Parsed

if TYPE_CHECKING:
    import pypdfium2 as pdfium

PROGRAM = "tesseract"
DPI = 300
"""What Tesseract's models were trained for."""
MOST_PIXELS = 40_000_000
"""A3 at 300 dpi has 17 million."""
MOST_PICTURE_PIXELS = 200_000_000
PAGE_TIMEOUT_S = 60.0
LIST_TIMEOUT_S = 10.0
LEAST_CONFIDENCE = 30.0
"""Of 100, for a word; dirt on the paper has less."""
LEGIBLE_CONFIDENCE = 60.0
"""Mean of a page, below which a person should look at it."""
HEADING_HEIGHT = 1.3
LONGEST_HEADING_WORDS = 12


class Recogniser:
    """Reads pictures in the languages of ``languages`` (Tesseract's names, joined by ``+``)."""

    def __init__(self, languages: str, trouble: str = "") -> None:
        self._languages = languages
        self._read: list[int] = []
        self._doubtful: list[int] = []
        self.trouble = trouble
        """Why it cannot read at all, and what to do; empty when it can."""

    def page(self, page: pdfium.PdfPage, number: int) -> list[Block]:
        """The blocks of one page of a PDF."""
        width, height = page.get_size()
        scale = min(DPI / 72, (MOST_PIXELS / max(1.0, width * height)) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=False)
        try:
            pixels = bitmap.to_numpy().reshape(bitmap.height, bitmap.width)
            return self.pixels(bitmap.width, bitmap.height, pixels.tobytes(), number)
        finally:
            bitmap.close()

    def pixels(self, width: int, height: int, gray: bytes, number: int) -> list[Block]:
        """The blocks of a picture: ``height`` rows of ``width`` bytes, 0 black to 255 white."""
        picture = b"P5 %d %d 255\n" % (width, height) + gray
        try:
            done = subprocess.run(
                [PROGRAM, "-", "-", "-l", self._languages, "--dpi", str(DPI), "tsv"],
                input=picture,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PAGE_TIMEOUT_S,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            self._doubtful.append(number)
            return []
        self._read.append(number)
        blocks, confidence = _blocks(done.stdout.decode("utf-8", "replace"))
        if blocks and confidence < LEGIBLE_CONFIDENCE:
            self._doubtful.append(number)
        return blocks

    def notes(self) -> list[str]:
        """What a person should know about what was recognised."""
        if self.trouble:
            return [f"Scanned pages were not read: {self.trouble}."]
        notes = []
        if self._read:
            pages = "1 page was" if len(self._read) == 1 else f"{len(self._read)} pages were"
            notes.append(f"{pages} recognised from pictures; look for misread words.")
        if self._doubtful:
            named = ", ".join(map(str, self._doubtful[:12]))
            notes.append(f"Hardly legible, or not at all: page {named}.")
        return notes


def recogniser(languages: Sequence[str]) -> Recogniser:
    """Tesseract with those of ``languages`` that are installed."""
    if shutil.which(PROGRAM, path=os.environ.get("PATH")) is None:
        return Recogniser("", "install Tesseract (apt-get install tesseract-ocr) and add it again")
    try:
        listed = subprocess.run(
            [PROGRAM, "--list-langs"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIST_TIMEOUT_S,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return Recogniser("", "Tesseract does not start; install it again")
    installed = listed.stdout.decode("utf-8", "replace").split()
    known = [language for language in languages if language in installed]
    if not known:
        return Recogniser(
            "", f"install Tesseract's data for {', '.join(languages)} (tesseract-ocr-…)"
        )
    return Recogniser("+".join(known))


def parse_picture(original: bytes, name: str, options: ReadOptions, on_pages: OnPages) -> Parsed:
    """A picture of a page, or several in one TIFF. Raises RefusedDocumentError."""
    if not options.ocr:
        raise RefusedDocumentError(
            f"{name} is a picture; set knowledge.ocr = true to have its text recognised (Tesseract)."
        )
    reader = recogniser(options.ocr_languages)
    if reader.trouble:
        raise RefusedDocumentError(f"{name} is a picture; {reader.trouble}.")
    from PIL import Image, ImageSequence

    Image.MAX_IMAGE_PIXELS = None  # checked below, frame by frame, before anything is unpacked
    with Image.open(BytesIO(original), formats=("PNG", "JPEG", "TIFF")) as picture:
        total = getattr(picture, "n_frames", 1)
        if total > options.max_pages:
            raise RefusedDocumentError(
                f"{name} has {total} pages; the limit is {options.max_pages}."
            )
        pages = []
        for number, frame in enumerate(ImageSequence.Iterator(picture), 1):
            if frame.width * frame.height > MOST_PICTURE_PIXELS:
                raise RefusedDocumentError(f"{name} is too large a picture; save it at 300 dpi.")
            paper = Image.new("RGBA", frame.size, "white")  # behind a transparent picture
            paper.alpha_composite(frame.convert("RGBA"))
            gray = paper.convert("L")
            gray.thumbnail((8000, 8000))
            blocks = reader.pixels(gray.width, gray.height, gray.tobytes(), number)
            pages.append(Page(number if total > 1 else None, tuple(blocks), ocr=True))
            on_pages(number, total)
    return Parsed(pages, reader.notes())


def _blocks(tsv: str) -> tuple[list[Block], float]:
    """Paragraphs of Tesseract's table of words, and the mean confidence (0-100) of these."""
    rows = csv.DictReader(StringIO(tsv), delimiter="\t", quoting=csv.QUOTE_NONE)
    words = [
        row
        for row in rows
        if (row.get("text") or "").strip() and float(row["conf"] or -1) >= LEAST_CONFIDENCE
    ]
    if not words:
        return [], 0.0
    usual = median(int(word["height"]) for word in words)
    found = []
    for _, group in groupby(words, key=lambda word: (word["block_num"], word["par_num"])):
        members = list(group)
        lines = [
            " ".join(word["text"] for word in line)
            for _, line in groupby(members, key=lambda word: word["line_num"])
        ]
        large = median(int(word["height"]) for word in members) > HEADING_HEIGHT * usual
        text = join_lines(lines)
        short = len(text.split()) <= LONGEST_HEADING_WORDS
        if short and len(lines) == 1 and (large or text.endswith("?")):
            found.append(Block("heading", text, 1 if large else 2))
        else:
            found.append(Block("text", text))
    return found, mean(float(word["conf"]) for word in words)
