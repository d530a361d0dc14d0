"""Writes a report: report.html, report.pdf and data.json in a folder of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from appliance.errors import UserError
from appliance.rehearsal.content import Report
from appliance.rehearsal.describe import describe
from appliance.rehearsal.html import to_html
from appliance.rehearsal.pdf import to_pdf


@dataclass(frozen=True, slots=True)
class Written:
    """Where a report lies."""

    folder: Path
    html: Path
    pdf: Path
    data: Path
    pages: int
    """Of the PDF."""


def folder_for(parent: Path, at: datetime) -> Path:
    """A new folder named for the moment. Raises UserError where nothing can be written."""
    name = at.strftime("%Y-%m-%d-%H%M%S")
    try:
        for number in range(1, 100):
            folder = parent / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                continue
    except OSError as e:
        raise UserError(f"{parent} cannot be written: {e.strerror}. Set data_dir elsewhere.") from e
    raise UserError(f"{parent} has a hundred reports of this second. Remove some.")


def write(report: Report, folder: Path) -> Written:
    """Write all three files into ``folder``. Raises UserError where the disk refuses."""
    document = describe(report)
    html, pdf, data = (folder / name for name in ("report.html", "report.pdf", "data.json"))
    try:
        data.write_bytes(orjson.dumps(as_data(report), option=orjson.OPT_INDENT_2))
        html.write_text(to_html(document), encoding="utf-8")
        pages = to_pdf(document, pdf)
    except OSError as e:
        raise UserError(f"The report cannot be written to {folder}: {e.strerror}.") from e
    return Written(folder, html, pdf, data, pages)


def as_data(report: Report) -> dict[str, Any]:
    """The report as JSON has it: enums by their words."""
    whole = asdict(report, dict_factory=_fields)
    if report.sizing is not None:
        whole["sizing"] |= {
            "own_copies": report.sizing.own_copies,
            "shared_copies": report.sizing.shared_copies,
        }
    return whole


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in pairs}
