"""``ivr rehearse`` and ``ivr audit``: how fast the appliance answers, and under how many calls."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.commands.common import JSON, settings_of


@click.command()
@click.option("--calls", default=50, show_default=True, help="The most at once.")
@click.option("--steps", metavar="LIST", help="Calls at once, rising: 1,5,10,50.")
@click.option(
    "--seconds",
    type=click.FloatRange(2, 3600),
    default=20.0,
    show_default=True,
    help="How long each step talks; up to three times as long while there are few answers.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(10, 86400),
    default=1800.0,
    show_default=True,
    metavar="S",
    help="No step is begun that would end later.",
)
@click.option("--to", default="", metavar="SIP-URI", help="Else sip.host:sip.port.")
@click.option("--emulated", is_flag=True, help="A temporary site with emulated engines instead.")
@click.option(
    "--questions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of WAVs, one question each; else the sample agent's questions.",
)
@click.option(
    "--ask",
    "asked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A text file, one question a line, spoken by the appliance's own voices.",
)
@click.option("--yes", is_flag=True, help="Also while live calls are on the appliance.")
@JSON
@click.pass_context
def rehearse(
    ctx: click.Context,
    calls: int,
    steps: str | None,
    seconds: float,
    time_limit: float,
    to: str,
    emulated: bool,
    questions: Path | None,
    asked: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Place real SIP calls through the whole appliance, ever more at once, and report.

    The report (HTML, PDF, data.json) is written below data_dir/rehearsals. Ctrl-C ends the climb and
    writes the report of what there is.

    \b
    Example: ivr rehearse --calls 50
    """
    from appliance.ops.rehearsal import rehearse as command
    from appliance.rehearsal.ramp import parse_steps

    options = command.Options(
        calls=calls,
        steps=parse_steps(steps) if steps else (),
        seconds=seconds,
        limit_s=time_limit,
        to=to,
        emulated=emulated,
        questions=questions,
        asked=asked,
        yes=yes,
        as_json=as_json,
    )
    command.run(settings_of(ctx), options)


@click.command()
@click.option(
    "--since", default="7d", show_default=True, metavar="WHEN", help="30m, 2h, 7d, a date."
)
@click.option("--agent", metavar="ID", help="Only calls that this agent answered.")
@click.option("--rehearsals", is_flag=True, help="Count the calls of rehearsals too.")
@JSON
@click.pass_context
def audit(
    ctx: click.Context, since: str, agent: str | None, rehearsals: bool, as_json: bool
) -> None:
    """Make the report of a rehearsal from the real calls in the log.

    No caller's words or number stands in it; calls are named by their ids.

    Example: ivr audit --since 7d
    """
    from appliance.ops.rehearsal import audit as command

    command.run(settings_of(ctx), since, agent=agent, rehearsals=rehearsals, as_json=as_json)
