"""``ivr call``, ``outbound``, ``live``, ``supervise``: calls made, and calls stepped into, through
``ivr switch``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from appliance.commands.common import JSON, settings_of

ID = click.argument("call", metavar="ID")


@click.command()
@click.argument("number")
@click.option("--agent", required=True, metavar="ID", help="Who talks.")
@click.option(
    "--attempts", type=click.IntRange(1, 20), default=3, show_default=True, help="At most."
)
@click.option(
    "--retry-after", type=click.IntRange(1, 604800), default=900, show_default=True, metavar="S",
    help="Seconds from one attempt to the next.",
)  # fmt: skip
@click.option("--hours", default="", help="When it may ring; else switch.calling_hours.")
@click.option("--at", type=click.DateTime(), help="Not before; local time.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is over.")
@JSON
@click.pass_context
def call(
    ctx: click.Context,
    number: str,
    agent: str,
    attempts: int,
    retry_after: int,
    hours: str,
    at: datetime | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Ring NUMBER and let an agent talk to whoever answers.

    Outside the calling hours it waits for them; a number on the do-not-call list is never rung.

    Example: ivr call +919876543210 --agent sunrise
    """
    from appliance.ops import livecalls

    body: dict[str, Any] = {"number": number, "agent": agent, "attempts": attempts}
    body |= {"retry_after_s": retry_after, "hours": hours}
    if at is not None:
        body["at"] = at.astimezone().isoformat()
    livecalls.make(settings_of(ctx), body, wait=wait, as_json=as_json)


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def live(ctx: click.Context, as_json: bool) -> None:
    """List the calls that are live, or step into one.

    Example: ivr live
    """
    from appliance.ops import livecalls

    if ctx.invoked_subcommand is None:
        livecalls.print_live(settings_of(ctx), as_json=as_json)


@live.command("transfer")
@ID
@click.argument("to")
@click.option("--blind", is_flag=True, help="Without ringing first: the caller hears it ring.")
@JSON
@click.pass_context
def live_transfer(ctx: click.Context, call: str, to: str, blind: bool, as_json: bool) -> None:
    """Send the caller to TO: queue:NAME, sip:user@host, a number or an extension.

    Example: ivr live transfer 3f2a queue:support
    """
    from appliance.ops import livecalls

    mode = "blind" if blind else "attended"
    livecalls.transfer(settings_of(ctx), call, to, mode, as_json=as_json)


@live.command("hangup")
@ID
@JSON
@click.pass_context
def live_hangup(ctx: click.Context, call: str, as_json: bool) -> None:
    """End a live call.

    Example: ivr live hangup 3f2a
    """
    from appliance.ops import livecalls

    livecalls.hang_up(settings_of(ctx), call, as_json=as_json)


@click.command()
@ID
@click.option("--from", "extension", metavar="EXTENSION", help="Your telephone; it rings.")
@click.option(
    "--mode",
    type=click.Choice(["listen", "whisper", "take-over"]),
    default="listen",
    show_default=True,
    help="whisper: the person who has the call hears you; take-over: the caller is yours.",
)
@click.option("--say", metavar="TEXT", help="Tell the agent something; nobody's telephone rings.")
@JSON
@click.pass_context
def supervise(
    ctx: click.Context, call: str, extension: str | None, mode: str, say: str | None, as_json: bool
) -> None:
    """Listen to a live call, whisper to the person who has it, or take it over.

    ID may be the first characters of the call's id (`ivr live`).

    \b
    Example: ivr supervise 3f2a --from 2001 --mode listen
    """
    from appliance.ops import livecalls

    if say is not None:
        livecalls.whisper(settings_of(ctx), call, say, as_json=as_json)
    elif extension is None:
        raise click.UsageError("Name your telephone with --from EXTENSION, or use --say TEXT.")
    else:
        livecalls.supervise(settings_of(ctx), call, extension, mode, as_json=as_json)


@click.group(invoke_without_command=True)
@click.option("--state", "states", default="", metavar="STATE,…", help="Only such calls.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most."
)
@JSON
@click.pass_context
def outbound(ctx: click.Context, states: str, limit: int, as_json: bool) -> None:
    """List the calls that we make (waiting, dialling, talking, done, failed, refused).

    Example: ivr outbound --state waiting
    """
    from appliance.ops import livecalls

    if ctx.invoked_subcommand is None:
        livecalls.print_outbound(settings_of(ctx), states, limit, as_json=as_json)


@outbound.command("cancel")
@ID
@JSON
@click.pass_context
def outbound_cancel(ctx: click.Context, call: str, as_json: bool) -> None:
    """Take a call that waits, or rings, off the list.

    ID may be the first characters of the call's id (`ivr outbound`).

    Example: ivr outbound cancel 3f2a91c0
    """
    from appliance.ops import livecalls

    livecalls.cancel(settings_of(ctx), call, as_json=as_json)
