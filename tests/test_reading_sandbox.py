"""What a parser that a document has taken over can reach: nothing but programs and libraries."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest

from appliance.knowledge.reading import read_document
from appliance.knowledge.reading.sandbox import own_paths
from tests.pdf_kit import lines, pdf
from tests.reading_kit import whole

PREAMBLE = """
import os, signal, socket, subprocess, sys
from appliance.knowledge.reading.limits import confine
confine(1000, 60)
def tried(work):
    try:
        work()
    except OSError as e:
        return type(e).__name__
    return "done"
"""


def inside(*lines: str) -> list[str]:
    """What each expression comes to in a process that is shut in as a parser is."""
    code = PREAMBLE + "\n".join(f"print(tried(lambda: {line}))" for line in lines)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def landlock() -> bool:
    import ctypes

    return bool(ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1)


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
def test_no_file_of_ours_can_be_read_or_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    assert (
        inside(
            f"open({str(secret)!r})",
            f"os.listdir({str(tmp_path)!r})",
            f"open('/proc/{os.getpid()}/environ')",
            "open('/proc/self/environ')",
            "open('/etc/passwd')",
            f"open({str(tmp_path / 'new')!r}, 'w')",
            f"os.unlink({str(secret)!r})",
            f"os.rename({str(secret)!r}, {str(tmp_path / 'other')!r})",
            f"os.symlink('/etc/passwd', {str(tmp_path / 'link')!r})",
        )
        == ["PermissionError"] * 9
    )
    assert secret.read_text() == "s3cret" and list(tmp_path.iterdir()) == [secret]


def test_nobody_can_be_connected_to(tmp_path: Path) -> None:
    here = socket.socket(socket.AF_UNIX)
    here.bind(str(tmp_path / "postgres"))
    here.listen()
    assert (
        inside(
            "socket.socket()",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "socket.socket(socket.AF_UNIX)",
            "socket.socketpair()",
        )
        == ["PermissionError"] * 4
    )
    here.close()


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
def test_nobody_can_be_signalled() -> None:
    assert inside(f"os.kill({os.getpid()}, 0)") == ["PermissionError"]


def test_programs_run_and_libraries_load() -> None:
    work = "subprocess.run(['/bin/ls', '/usr'], check=True, stdout=subprocess.DEVNULL)"
    assert inside(work, "__import__('lxml.etree')", "__import__('pypdfium2')") == ["done"] * 3


def _written(save: Callable[[BytesIO], object]) -> bytes:
    out = BytesIO()
    save(out)
    return out.getvalue()


def _document() -> bytes:
    made = docx.Document()
    made.add_paragraph("यह योजना दस रुपये की है।")
    return _written(made.save)


def _slides() -> bytes:
    made = pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.placeholders[1].text = "Ten rupees"
    return _written(made.save)


def _workbook() -> bytes:
    made = openpyxl.Workbook()
    for row in (["Plan", "Price"], ["Home", "Ten rupees"]):
        made.active.append(row)
    return _written(made.save)


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("a.docx", _document()),
        ("a.pptx", _slides()),
        ("a.xlsx", _workbook()),
        ("a.pdf", pdf([lines("Ten rupees.", y=100)])),
        ("a.html", b"<h1>Plans</h1><p>Ten rupees.</p>"),
        ("a.csv", b"plan,price\nHome,Ten rupees\n"),
        ("a.txt", b"Ten rupees."),
        ("a.md", "# शुल्क\n\nदस रुपये.\n".encode()),  # Hindi or Marathi: a model is asked
    ],
)
async def test_every_format_is_read_in_it(name: str, original: bytes) -> None:
    text = whole(await read_document(original, name))
    assert any(words in text for words in ("en rupees", "रुपये")), text


def test_what_is_shown_holds_nothing_of_the_appliances(tmp_path: Path) -> None:
    shown = [Path(path) for path in own_paths()]
    data = Path.cwd() / "var"
    assert not any(data.is_relative_to(path) for path in shown)
