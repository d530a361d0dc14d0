"""How long documents take to be read: PDFs of 100 and 500 pages, a sheet of 10 000 rows, a page.

python -m bench.reading
"""

from __future__ import annotations

import asyncio
import csv
import sys
from io import StringIO
from pathlib import Path
from time import perf_counter

from appliance.knowledge.cutting import cut
from appliance.knowledge.reading import ReadOptions, read_document

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.pdf_kit import Put, lines, pdf

LINES = 50
ROWS = 10_000


def book(pages: int) -> bytes:
    """A PDF of ``pages`` full pages, each with its own words."""
    return pdf(
        [
            [
                Put(f"Chapter {page}", y=40, size=18),
                *lines(
                    "\n".join(
                        f"Rule {page}.{line} says that a fee of {line} rupees is due on day {page}."
                        for line in range(LINES)
                    ),
                    y=70,
                    size=10,
                ),
            ]
            for page in range(pages)
        ]
    )


def sheet() -> bytes:
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(["Question", "Answer"])
    writer.writerows([f"What is fee {n}?", f"Fee {n} is {n * 10} rupees."] for n in range(ROWS))
    return out.getvalue().encode()


async def main() -> None:
    options = ReadOptions(timeout_s=600)
    print("| document | read in | pages | passages |\n|---|---|---|---|")
    for name, original in (
        ("a.txt", b"One line of text."),
        ("100 pages.pdf", book(100)),
        ("500 pages.pdf", book(500)),
        ("2000 pages.pdf", book(2000)),
        (f"{ROWS} questions.csv", sheet()),
    ):
        begin = perf_counter()
        found = await read_document(original, name, options=options)
        took_s = perf_counter() - begin
        print(f"| {name} | {took_s:.1f} s | {len(found.pages)} | {len(cut(found))} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
