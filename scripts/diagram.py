"""Put the diagram of the floor's table into docs/floor.md, between its markers."""

import re
from pathlib import Path

from appliance.turn.floor import diagram

PAGE = Path(__file__).parent.parent / "docs" / "floor.md"
BLOCK = re.compile(r"(<!-- diagram -->\n```mermaid\n).*?(\n```)", re.DOTALL)


def main() -> None:
    page = PAGE.read_text()
    fresh, count = BLOCK.subn(lambda m: m.group(1) + diagram() + m.group(2), page)
    if count != 1:
        raise SystemExit(f"{PAGE} has no <!-- diagram --> block; restore it and try again.")
    PAGE.write_text(fresh)


if __name__ == "__main__":
    main()
