"""``ivr top``: the box, live in the terminal."""

from __future__ import annotations

import click

from appliance.commands.common import settings_of


@click.command()
@click.option("--once", is_flag=True, help="One picture, and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a second; with --once, one.")
@click.pass_context
def top(ctx: click.Context, once: bool, as_json: bool) -> None:
    """Watch calls, stages, workers, trunks, queues and alarms, live.

    Keys: q quits, s sorts the calls, f filters them. It asks each part once a second at most.

    Example: ivr top
    """
    from appliance.ops.top import run

    run.run(settings_of(ctx), once=once, as_json=as_json)
