"""``ivr audit-log``: who did what, and proof that nobody has changed it since."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of


@click.group("audit-log")
def audit_log() -> None:
    """Every change and every listening: who, what, when.

    Example: ivr audit-log show
    """


@audit_log.command("show")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
    help="How many, the latest first.",
)  # fmt: skip
@click.option("--actor", default="", help="Only of somebody whose name has this in it.")
@click.option("--action", default="", help="Only this: call.listen; or all of a noun: call.")
@click.option("--subject", default="", help="Only what was done to this.")
@click.option("--since", metavar="WHEN", default="", help="30m, 2h, 7d, or a date.")
@JSON
@click.pass_context
def audit_log_show(
    ctx: click.Context,
    limit: int,
    actor: str,
    action: str,
    subject: str,
    since: str,
    as_json: bool,
) -> None:
    """List what was done, the latest first.

    Example: ivr audit-log show --action call.listen --since 7d
    """
    from appliance.ops import auditlog as command

    wanted = command.Wanted(actor, action, subject, since)
    command.print_rows(settings_of(ctx), wanted, limit, as_json=as_json)


@audit_log.command("verify")
@click.option(
    "--expect", metavar="HASH", default="",
    help="A head hash that an earlier run printed: finds a log that was cut off or made anew.",
)  # fmt: skip
@JSON
@click.pass_context
def audit_log_verify(ctx: click.Context, expect: str, as_json: bool) -> None:
    """Check the whole log: which row was changed, removed or put elsewhere, if any.

    Ends with status 1 when one is. Keep the head hash that it prints somewhere else, off this box.

    Example: ivr audit-log verify --expect 3f0a…
    """
    from appliance.ops import auditlog as command

    ctx.exit(command.verify(settings_of(ctx), expect, as_json=as_json))
