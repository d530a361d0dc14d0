"""``ivr pools``: the engine servers of this machine, and what they do now."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of, start, tell_children


@click.group(invoke_without_command=True)
@click.option(
    "--stage", "stages", metavar="NAME", multiple=True, help="Only this one: stt; repeatable."
)
@click.pass_context
def pools(ctx: click.Context, stages: tuple[str, ...]) -> None:
    """Run the engine servers of this machine, and no worker: as many as plan and load want.

    Which ones are settings: engines.<stage>.run. `ivr up` runs them by itself.

    Example: ivr pools --stage stt --stage tts
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import pools as process

        tell_children(ctx)
        process.run(start(ctx, "pools"), process.Options(stages))


@pools.command("status")
@JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show every pool that runs here: its servers, how many are wanted, what they have to do.

    Example: ivr pools status --json
    """
    from appliance.ops import poolstatus as command

    command.print_status(settings_of(ctx), as_json=as_json)
