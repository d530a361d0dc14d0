"""``ivr queues``: people who share the calls handed to ``queue:NAME``."""

from __future__ import annotations

from typing import cast

import click

from appliance.commands.common import JSON, settings_of


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def queues(ctx: click.Context, as_json: bool) -> None:
    """List the queues: people who share the calls handed to queue:NAME.

    Example: ivr queues
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import queues as command

        command.print_queues(settings_of(ctx), as_json=as_json)


@queues.command("add")
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@click.option(
    "--strategy",
    type=click.Choice(["all", "order"]),
    default="all",
    show_default=True,
    help="Ring all at once, or one after the other.",
)
@click.option("--ring", type=int, default=20, show_default=True, help="Seconds for each.")
@click.option("--max-wait", type=int, default=120, show_default=True, help="Seconds for all.")
@JSON
@click.pass_context
def queues_add(
    ctx: click.Context,
    name: str,
    members: tuple[str, ...],
    strategy: str,
    ring: int,
    max_wait: int,
    as_json: bool,
) -> None:
    """Make the queue NAME of MEMBERS: extensions, numbers or SIP addresses. Replaces what was there.

    Example: ivr queues add support 1001 1002 +919876543210 --strategy order
    """
    from appliance.ops import queues as command
    from appliance.store.phonebook import Queue, Strategy

    queue = Queue(name, members, cast(Strategy, strategy), ring, max_wait)
    command.add(settings_of(ctx), queue, as_json=as_json)


@queues.command("remove")
@click.argument("name")
@JSON
@click.pass_context
def queues_remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove the queue NAME.

    Example: ivr queues remove support
    """
    from appliance.ops import queues as command

    command.remove(settings_of(ctx), name, as_json=as_json)
