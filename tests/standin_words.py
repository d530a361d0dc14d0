"""How FreeSWITCH cuts an API command's arguments, and writes its events; pure.

Told by its behaviour: words are cut at blanks; ``'`` quotes; a backslash keeps the next character
from being looked at, and is then eaten before a quote, a backslash and the letters n, r, t and s.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "s": " "}
_EATEN = "'\"\\"


def separate(text: str, most: int) -> list[str]:
    """Up to ``most`` words; the last takes the rest, blanks and all."""
    words: list[str] = []
    at = 0
    while at < len(text) and len(words) < most - 1:
        end = _end_of_word(text, at)
        words.append(text[at:end])
        at = end
        while at < len(text) and text[at] == " ":
            at += 1
    if at < len(text):
        words.append(text[at:])
    return [cleaned(word) for word in words]


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and text[at] == " ":
        at += 1
    quoted = False
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "'":
            quoted = not quoted
        elif text[at] == " " and not quoted:
            break
        at += 1
    return min(at, len(text))


def cleaned(word: str) -> str:
    """One word as the module that asked for it gets it."""
    out: list[str] = []
    kept = 0
    """Length of what stays: blanks at the end that stand in no quotes do not."""
    quoted, at = False, 0
    word = word.lstrip(" ")
    while at < len(word):
        letter, after = word[at], word[at + 1 : at + 2]
        if letter == "\\" and after and (after in _EATEN or after in _LETTERS):
            out.append(_LETTERS.get(after, after))
            kept, at = len(out), at + 1
        elif letter == "'" and (quoted or "'" in word[at + 1 :]):
            quoted = not quoted
            kept = len(out) if quoted else kept
        else:
            out.append(letter)
            kept = len(out) if letter != " " or quoted else kept
        at += 1
    return "".join(out[:kept]) if kept else "".join(out)


def plain_event(headers: Mapping[str, str], body: str = "") -> bytes:
    """An event as ``event plain`` sends it: values encoded, the whole with its length."""
    lines = [f"{name}: {quote(value, safe=_SAFE)}" for name, value in headers.items()]
    raw = body.encode()
    if raw:
        lines.append(f"Content-Length: {len(raw)}")
    inner = "\n".join(lines).encode() + b"\n\n" + raw
    head = f"Content-Length: {len(inner)}\nContent-Type: text/event-plain\n\n"
    return head.encode() + inner


_SAFE = "!$&'()*+,-./:;<=>?@_~"
"""Left as they are; blank, ``%``, ``#``, quotes, braces and line ends are encoded."""
