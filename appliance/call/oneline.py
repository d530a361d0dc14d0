"""Text that others wrote, on one line."""

from __future__ import annotations


def one_line(text: str, longest: int = 200) -> str:
    """``text`` on one line without control characters, cut between words to ``longest`` letters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= longest:
        return line
    cut = line[:longest].rpartition(" ")[0] or line[: longest - 1]
    return cut[: longest - 1].rstrip(" ,;:") + "…"
