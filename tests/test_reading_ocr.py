"""Scanned pages, by the real Tesseract where it is installed."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from appliance.knowledge.reading import ReadOptions, RefusedDocumentError, read_document
from appliance.knowledge.reading.ocr import recogniser
from tests.pdf_kit import Picture, Put, pdf
from tests.reading_kit import parsed, passages

tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="Tesseract is not installed (tesseract-ocr)"
)
WITH_OCR = ReadOptions(ocr=True, ocr_languages=("eng",))
SIZE = (1240, 1754)  # A4 at 150 dpi


def scan() -> Image.Image:
    page = Image.new("L", SIZE, 255)
    draw = ImageDraw.Draw(page)
    draw.text((120, 120), "Opening hours", font=ImageFont.load_default(64), fill=0)
    words = "The office is open from ten to six\non every working day."
    draw.text((120, 320), words, font=ImageFont.load_default(32), fill=0, spacing=14)
    return page


@tesseract
async def test_a_scanned_page_is_recognised() -> None:
    picture = Picture(*SIZE, scan().tobytes())
    found = await read_document(
        pdf([[picture], [Put("A typed page.")]]), "scan.pdf", options=WITH_OCR
    )
    assert [page.ocr for page in found.pages] == [True, False]
    assert passages(found)[0] == (
        "Opening hours",
        "The office is open from ten to six on every working day.",
    )
    assert any("recognised from pictures" in note for note in found.notes)


@tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_pictures_are_recognised(kind: str) -> None:
    out = BytesIO()
    more = {"save_all": True, "append_images": [scan()]} if kind == "TIFF" else {}
    scan().save(out, kind, **more)
    found = parsed(out.getvalue(), f"a.{kind.lower()}", options=WITH_OCR)
    assert "open from ten to six" in passages(found)[0][1]
    assert [page.number for page in found.pages] == ([1, 2] if kind == "TIFF" else [None])


@tesseract
def test_languages_that_are_not_installed_are_named() -> None:
    assert "tesseract-ocr-" in recogniser(("xyz",)).trouble
    assert recogniser(("eng", "xyz")).trouble == ""


def test_without_tesseract_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    picture = Picture(40, 50, bytes(range(200)) * 10)
    with pytest.raises(RefusedDocumentError, match="install Tesseract"):
        parsed(pdf([[picture]]), options=WITH_OCR)
    mixed = parsed(pdf([[picture], [Put("A typed page.")]]), options=WITH_OCR)
    assert any("install Tesseract" in note for note in mixed.notes)


def test_pictures_without_ocr_are_refused() -> None:
    out = BytesIO()
    scan().save(out, "PNG")
    with pytest.raises(RefusedDocumentError, match=r"knowledge\.ocr = true"):
        parsed(out.getvalue(), "a.png")


@tesseract
def test_a_picture_bomb_is_refused() -> None:
    out = BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    with pytest.raises(RefusedDocumentError, match="too large a picture"):
        parsed(out.getvalue(), "a.png", options=WITH_OCR)
