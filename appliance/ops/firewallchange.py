"""``ivr firewall apply``: rules in force, and back again unless somebody says that they can get in."""

from __future__ import annotations

import select
import sys
from pathlib import Path

import click

from appliance.ops import firewall


def apply(text: str, *, wait_s: float, file: Path = firewall.FILE) -> None:
    """Put ``text`` in force; ``wait_s`` 0: for good, else unless "yes" is typed within it.

    Raises UserError.
    """
    firewall.check(text)
    before = firewall.load(text, file)
    if wait_s and not _confirmed(wait_s):
        firewall.take_back(before, file)
        click.echo("Nobody said yes: the rules are as they were.")
        return
    click.echo(f"The rules are in force, and kept in {file}.")


def _confirmed(wait_s: float) -> bool:
    click.echo(
        f"In force for {wait_s:g} s. Open a second session now (SSH, the console); if that works, type"
        " yes:"
    )
    try:
        readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    except KeyboardInterrupt:
        return False
    return bool(readable) and sys.stdin.readline().strip().lower() in ("y", "yes")
