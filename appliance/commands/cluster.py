"""``ivr cluster``: engine servers on several machines, placed by Ray Serve."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of, start, tell_children


@click.group()
def cluster() -> None:
    """Run the engine servers on several machines; Ray Serve places and scales them.

    Run it in the environment of the extra `cluster`. docs/scaling.md.

    Example: ivr cluster up
    """


@cluster.command("up")
@JSON
@click.pass_context
def up(ctx: click.Context, as_json: bool) -> None:
    """Start the pools of engines.<stage>.run there, and serve the workers their roster.

    With cluster.address it joins that Ray, else it starts one on this machine.

    Example: ivr cluster up
    """
    from appliance.ops import cluster as process

    tell_children(ctx)
    process.up(start(ctx, "cluster"), as_json=as_json)


@cluster.command("status")
@JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show every engine server of the cluster, where it is and what it has to do.

    Example: ivr cluster status --json
    """
    from appliance.ops import cluster as command

    command.print_status(settings_of(ctx), as_json=as_json)


@cluster.command("down")
@click.pass_context
def down(ctx: click.Context) -> None:
    """End all pools on the cluster; what is under way is finished first.

    Example: ivr cluster down
    """
    from appliance.ops import cluster as command

    command.down(settings_of(ctx))
