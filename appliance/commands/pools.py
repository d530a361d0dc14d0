"""``ivr pools``: the engine servers of this machine, and what they do now."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.commands.common import JSON, settings_of, start, tell_children


@click.group(invoke_without_command=True)
@click.option(
    "--stage", "stages", metavar="NAME", multiple=True, help="Only this one: stt; repeatable."
)
@click.option(
    "--plan/--no-plan",
    "makes_plan",
    default=True,
    help="Make the plan, which needs the database; else follow the one that `ivr jobs` makes.",
)
@click.pass_context
def pools(ctx: click.Context, stages: tuple[str, ...], makes_plan: bool) -> None:
    """Run the engine servers of this machine, and no worker: as many as plan and load want.

    Which ones are settings: engines.<stage>.run. `ivr up` runs them by itself.

    Example: ivr pools --stage stt --stage tts
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import pools as process

        tell_children(ctx)
        process.run(start(ctx, "pools"), process.Options(stages, makes_plan))


@pools.command("settings")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def write_settings(ctx: click.Context, file: Path) -> None:
    """Write what engine servers need of the settings to FILE, and make their key.

    No password of a database, a trunk or a queue is in it: their services read it in place of ivr.toml.

    Example: ivr pools settings /run/ivr-engines/ivr.toml
    """
    from appliance.ops import enginesettings as command

    command.write(settings_of(ctx), file)


@pools.command("status")
@JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show every pool that runs here: its servers, how many are wanted, what they have to do.

    Example: ivr pools status --json
    """
    from appliance.ops import poolstatus as command

    command.print_status(settings_of(ctx), as_json=as_json)
