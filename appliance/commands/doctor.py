"""``ivr doctor``: what is wrong with the box, and what to do."""

from __future__ import annotations

import sys

import click

from appliance.commands.common import JSON
from appliance.telemetry import configure


@click.command()
@click.option(
    "--only", metavar="GROUP|CHECK", multiple=True, help="Look at this alone; repeatable."
)
@click.option("--deep", is_flag=True, help="Also what takes minutes: checksums of models.")
@click.option("--fix", is_flag=True, help="Mend what is safe to mend, and look again.")
@click.option("--yes", is_flag=True, help="With --fix: also what changes more, as `db upgrade`.")
@click.option("--quiet", is_flag=True, help="Tell only what is not good.")
@JSON
@click.pass_context
def doctor(
    ctx: click.Context,
    only: tuple[str, ...],
    deep: bool,
    fix: bool,
    yes: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Look at every part of the box; say what is wrong and what to do.

    Status 0: nothing is bad, though there may be warnings; 1: something is; 2: it could not look.

    Example: ivr doctor --only machine --only telephony
    """
    from appliance.ops.doctor import command

    configure("ivr", level="WARNING", json=False)
    options = command.Options(only, deep, fix, yes, as_json, quiet)
    sys.exit(command.run(ctx.obj, options))
