"""``ivr doctor``: what is wrong with the box, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.commands.common import JSON
from appliance.errors import UserError
from appliance.telemetry import configure


@click.command()
@click.option(
    "--only", metavar="GROUP|CHECK", multiple=True, help="Look at this alone; repeatable."
)
@click.option("--deep", is_flag=True, help="Also what takes minutes: checksums of models.")
@click.option("--fix", is_flag=True, help="Mend what is safe to mend, and look again.")
@click.option("--yes", is_flag=True, help="With --fix: also what changes more, as `db upgrade`.")
@click.option("--call", is_flag=True, help="Ring the appliance, ask it a question, and listen.")
@click.option("--to", metavar="NUMBER", help="With --call: dial this; default: the first answered.")
@click.option("--ask", metavar="TEXT", help="With --call: say this.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 600),
    default=0.0,
    metavar="SECONDS",
    help="With --call: wait so long for an appliance that is still starting.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.tar.gz",
    help="Write a support bundle, without secrets or personal data.",
)
@click.option(
    "--log",
    "logs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="With --bundle: lines of this log of ours too, masked; repeatable.",
)
@click.option("--quiet", is_flag=True, help="Tell only what is not good.")
@JSON
@click.pass_context
def doctor(
    ctx: click.Context,
    only: tuple[str, ...],
    deep: bool,
    fix: bool,
    yes: bool,
    call: bool,
    to: str | None,
    ask: str | None,
    wait_s: float,
    bundle: Path | None,
    logs: tuple[Path, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Look at every part of the box; say what is wrong and what to do.

    With --call: no list, but one real call to this appliance; the words that it heard and the gap
    before its answer are told.

    Status 0: nothing is bad, though there may be warnings; 1: something is; 2: it could not look.

    Example: ivr doctor --only machine --only telephony
    """
    configure("ivr", level="WARNING", json=False)
    if call:
        from appliance.ops.doctor.selfcall import command as ringing

        asked = ringing.Options(to or "", ask or "", wait_s, as_json)
        sys.exit(ringing.run(ctx.obj(), asked))
    if bundle is not None:
        from appliance.ops.doctor.bundle import command as bundling

        sys.exit(bundling.run(ctx.obj(), bundle, logs, as_json=as_json))
    if to or ask or wait_s:
        raise UserError("--to, --ask and --wait go with --call.")
    from appliance.ops.doctor import command

    options = command.Options(only, deep, fix, yes, as_json, quiet)
    sys.exit(command.run(ctx.obj, options))
