"""Text as a person sees it: composed (NFC), without characters that have no shape."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

# Zero-width joiner and non-joiner stay: they shape Indic letters.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_HYPHENS = ("-", "\u2010", "\u00ad", "\u0002")
_PRIVATE = re.compile("[\ue000-\uf8ff\ufffd]")
_BULLET = re.compile("^[\u2022\u25aa\u25cf\u25e6\u2023\u2043\u00b7\uf0b7\uf0a7\u27a2\u2756o]\\s+")


def tidy(text: str) -> str:
    """``text`` on one line: NFC, ligatures undone, invisible and control characters out."""
    text = _INVISIBLE.sub("", _CONTROL.sub(" ", text)).translate(_LIGATURES)
    return " ".join(unicodedata.normalize("NFC", text).split())


def one_line(text: str) -> str:
    """``text`` with each run of spaces and line breaks as one space; what else is wrong with it stays,
    to be told when the document is whole."""
    return " ".join(text.split())


def one_line_each(text: str) -> str:
    """As :func:`one_line` for each line of ``text``, with NUL bytes out."""
    lines = re.split("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]", text)
    return "\n".join(one_line(line.replace("\0", "")) for line in lines)


def smuggled(text: str) -> bool:
    """Whether it holds a message in Unicode's tag characters, which only a machine sees."""
    return _TAGS.search(text) is not None


def unmapped_share(text: str) -> float:
    """Share (0-1) of characters that stand for nothing: U+FFFD and the private use area."""
    return len(_PRIVATE.findall(text)) / len(text) if text else 0.0


def without_bullet(text: str) -> str | None:
    """``text`` without the bullet it begins with; None when it begins with none."""
    shorter = _BULLET.sub("", text)
    return None if shorter == text else shorter


def join_lines(lines: Sequence[str], known: AbstractSet[str] = frozenset()) -> str:
    """The lines of one paragraph as one text, with words joined that a line end had parted.

    ``known``: words of the document (lower case) that keep their hyphen elsewhere in it.
    """
    text = ""
    for line in lines:
        line = line.strip()
        if text.endswith(_HYPHENS) and line[:1].islower() and text[-2:-1].isalpha():
            head, tail = text.rpartition(" ")[2], line.partition(" ")[0]
            keeps = f"{head[:-1]}-{tail}".lower().strip(".,;:!?()") in known
            text = (text[:-1] + "-" if keeps else text[:-1]) + line
        else:
            text = f"{text} {line}" if text and line else text or line
    return one_line(text)


def hyphenated(lines: Iterable[str]) -> set[str]:
    """Words that stand with their hyphen inside of a line."""
    return {
        word.lower() for line in lines if "-" in line for word in re.findall(r"\w+(?:-\w+)+", line)
    }
