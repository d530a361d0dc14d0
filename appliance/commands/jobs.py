"""``ivr jobs``: background work."""

from __future__ import annotations

import click

from appliance.commands.common import start
from appliance.errors import UserError


@click.command()
@click.option(
    "--schedule/--no-schedule",
    default=True,
    show_default=True,
    help="Also say when nightly and periodic work is due; one process of a site shall.",
)
@click.pass_context
def jobs(ctx: click.Context, schedule: bool) -> None:
    """Do background work: read documents, moderate, review, erase what is too old.

    `ivr up` runs it. How many jobs at once and how often is looked for work are settings: [jobs],
    [redis].

    Example: ivr jobs
    """
    try:
        from appliance.jobs import run as process
    except ModuleNotFoundError as e:
        raise UserError(
            f"The package {e.name} is missing. Run `pip install 'ivr-appliance[jobs,documents]'`."
        ) from e

    process.run(start(ctx, "jobs"), scheduled=schedule)
