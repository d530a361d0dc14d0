"""``ivr numbers``: which agent answers which number, and when."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def numbers(ctx: click.Context, as_json: bool) -> None:
    """List the numbers: which agent answers, when, and who does otherwise.

    Example: ivr numbers
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import numbers as command

        command.print_numbers(settings_of(ctx), as_json=as_json)


@numbers.command("add")
@click.argument("did")
@click.option("--agent", metavar="ID", required=True, help="Who answers.")
@click.option("--hours", default="", help="Default: always.")
@click.option("--closed-text", default="", help="Said outside those hours.")
@click.option("--closed-to", default="", metavar="WHO", help="Takes the call then.")
@click.option("--overflow-to", default="", metavar="WHO", help="Takes it when no agent can.")
@JSON
@click.pass_context
def numbers_add(
    ctx: click.Context,
    did: str,
    agent: str,
    hours: str,
    closed_text: str,
    closed_to: str,
    overflow_to: str,
    as_json: bool,
) -> None:
    """Let an agent answer the number DID (*: every other number); replaces what was there.

    WHO is queue:NAME, sip:user@host, an extension, or a number.

    \b
    Example: ivr numbers add +918022223333 --agent sunrise \\
                 --hours "mon-fri 09:00-18:00, sat 10:00-14:00; except 2026-01-26" \\
                 --closed-text "We are closed." --overflow-to queue:support
    """
    from appliance.ops import numbers as command
    from appliance.store.trunks import NumberEntry

    entry = NumberEntry(did, agent, hours, closed_text, closed_to, overflow_to)
    command.add(settings_of(ctx), entry, as_json=as_json)


@numbers.command("remove")
@click.argument("did")
@JSON
@click.pass_context
def numbers_remove(ctx: click.Context, did: str, as_json: bool) -> None:
    """Let no agent of its own answer the number DID.

    Example: ivr numbers remove +918022223333
    """
    from appliance.ops import numbers as command

    command.remove(settings_of(ctx), did, as_json=as_json)
