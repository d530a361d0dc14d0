"""``ivr capacity``: calls to come, servers they need, what is idle."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.commands.common import JSON, note, settings_of


@click.group(invoke_without_command=True)
@click.option(
    "--calls", type=click.IntRange(0, 100_000), metavar="N",
    help="What N calls at once need; else the most that are forecast for the next day.",
)  # fmt: skip
@JSON
@click.pass_context
def capacity(ctx: click.Context, calls: int | None, as_json: bool) -> None:
    """Show what each stage needs, what runs, and what is idle.

    Times are those of this site's journal; where it is too thin, defaults stand for them, marked.

    Example: ivr capacity --calls 50
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import capacity as command

        command.show(settings_of(ctx), calls, as_json=as_json)


@capacity.command("forecast")
@click.option(
    "--hours", type=click.IntRange(1, 24 * 14), default=24, show_default=True,
    help="Ahead; and as many back, against what really came.",
)  # fmt: skip
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw it to FILE.")
@JSON
@click.pass_context
def capacity_forecast(ctx: click.Context, hours: int, png: Path | None, as_json: bool) -> None:
    """Show the calls of the last hours beside their forecast, and those to come.

    Example: ivr capacity forecast --hours 48 --png forecast.png
    """
    from appliance.ops import capacity as command

    command.show_forecast(settings_of(ctx), hours, png, as_json=as_json)


@capacity.command("plan")
@click.option("--write", is_flag=True, help="Put it in force: plan.json in data_dir.")
@JSON
@click.pass_context
def capacity_plan(ctx: click.Context, write: bool, as_json: bool) -> None:
    """Show how many servers of each stage are wanted over the next day.

    What runs `ivr up`, `ivr pools` or `ivr cluster` makes the same plan every few minutes.

    Example: ivr capacity plan --write
    """
    from appliance.ops import capacity as command

    settings = settings_of(ctx)
    if write:
        note(settings, "capacity.plan", settings.plan_file.name)
    command.show_plan(settings, write=write, as_json=as_json)
