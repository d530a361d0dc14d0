"""Reads what ``ivr models plan --json`` says: ``modelplan.py NAMES SETTINGS`` writes the models to
pull, one a line, and the lines of ivr.toml for them. Python's own library only."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path


def main() -> None:
    plan = json.load(sys.stdin)
    if not plan.get("fits"):
        sys.exit("these models do not fit this GPU together: fewer LANGUAGES or GPU_CALLS")
    names = dict.fromkeys(server["model"] for server in plan["servers"] if server["model"])
    settings = "\n".join(plan["settings"]) + "\n"
    tomllib.loads(settings)  # what people will paste can be read
    Path(sys.argv[1]).write_text("".join(f"{name}\n" for name in names))
    Path(sys.argv[2]).write_text(settings)


if __name__ == "__main__":
    main()
