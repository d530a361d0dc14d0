"""The table of metrics of docs/observability.md, from the catalogue.

python -m tests.metrics_table    # writes it into the page
"""

from __future__ import annotations

from pathlib import Path

from appliance.metrics.catalogue import CATALOGUE

PAGE = Path(__file__).parent.parent / "docs" / "observability.md"
BEGIN, END = "<!-- metrics -->", "<!-- end of metrics -->"


def table() -> str:
    """In Markdown, in the catalogue's order."""
    rows = [
        f"| `{m.name}` | {m.kind.value} | {', '.join(m.labels)} | {m.of} | {m.help} |"
        for m in CATALOGUE.values()
    ]
    return "\n".join(
        ["| metric | kind | labels | told by | what it is |", "|---|---|---|---|---|", *rows]
    )


if __name__ == "__main__":
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}")
