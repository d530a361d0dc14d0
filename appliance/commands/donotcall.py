"""``ivr do-not-call``: the numbers that are never called by us."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.commands.common import JSON, settings_of

TENANT = click.option(
    "--tenant", default="", metavar="ID", help="Whose list; default: the operator's own."
)


@click.group("do-not-call", invoke_without_command=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="How many, the latest first.",
)
@click.option("--tenant", default=None, metavar="ID", help="Only this list; '': the operator's.")
@JSON
@click.pass_context
def do_not_call(ctx: click.Context, limit: int, tenant: str | None, as_json: bool) -> None:
    """List the numbers that are never called by us, the latest first: one that anybody put there is
    called by nobody.

    Example: ivr do-not-call --tenant north
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import donotcall as command

        command.print_list(settings_of(ctx), tenant, limit, as_json=as_json)


@do_not_call.command("add")
@click.argument("numbers", nargs=-1, required=True, metavar="NUMBER...")
@click.option("--reason", default="", help="Why; kept beside the number.")
@TENANT
@JSON
@click.pass_context
def do_not_call_add(
    ctx: click.Context, numbers: tuple[str, ...], reason: str, tenant: str, as_json: bool
) -> None:
    """Never call these numbers again.

    Example: ivr do-not-call add +919876543210 --reason "asked us on the phone"
    """
    from appliance.ops import donotcall as command

    command.add(settings_of(ctx), numbers, reason, tenant, as_json=as_json)


@do_not_call.command("remove")
@click.argument("number")
@click.option("--reason", default="", help="Why; it goes into the audit log.")
@TENANT
@JSON
@click.pass_context
def do_not_call_remove(
    ctx: click.Context, number: str, reason: str, tenant: str, as_json: bool
) -> None:
    """Take NUMBER from one list; what other tenants put there stays, and holds for everybody.

    Example: ivr do-not-call remove +919876543210 --tenant north --reason "their letter of 3 May"
    """
    from appliance.ops import donotcall as command

    command.remove(settings_of(ctx), number, reason, tenant, as_json=as_json)


@do_not_call.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", default="imported", show_default=True, help="Kept beside each number.")
@TENANT
@JSON
@click.pass_context
def do_not_call_import(
    ctx: click.Context, file: Path, reason: str, tenant: str, as_json: bool
) -> None:
    """Add the numbers in the first column of FILE (CSV or one a line).

    Example: ivr do-not-call import ndnc.csv --reason NDNC
    """
    from appliance.ops import donotcall as command

    command.import_file(settings_of(ctx), file, reason, tenant, as_json=as_json)
