"""``ivr users``: who logs in to the console."""

from __future__ import annotations

import sys

import click

from appliance.commands.common import JSON, settings_of

ROLE = click.Choice(["operator", "admin", "reviewer", "viewer"])
STDIN = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, one line."
)


@click.group()
def users() -> None:
    """Who logs in to the console, and what they may do.

    Example: ivr users list
    """


@users.command("list")
@click.option("--tenant", default="", help="Only the people of this tenant.")
@JSON
@click.pass_context
def users_list(ctx: click.Context, tenant: str, as_json: bool) -> None:
    """List people: role, tenant, second factor, last login.

    Example: ivr users list --tenant north
    """
    from appliance.ops import users as command

    command.print_users(settings_of(ctx), tenant, as_json=as_json)


@users.command("create")
@click.argument("login")
@click.option("--role", type=ROLE, required=True, help="What they are here for.")
@click.option("--tenant", default="", help="Whose person; empty: the operator's own staff.")
@click.option("--name", default="", help="As others see them.")
@click.option(
    "--language", type=click.Choice(["en", "hi"]), default="en", show_default=True,
    help="Of the console.",
)  # fmt: skip
@STDIN
@JSON
@click.pass_context
def users_create(
    ctx: click.Context,
    login: str,
    role: str,
    tenant: str,
    name: str,
    language: str,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Make a person who may log in as LOGIN. The password is asked for, twice.

    Example: ivr users create asha --role operator
    """
    from appliance.ops import users as command

    wanted = command.Wanted(login, name, role, tenant, language)
    command.create(settings_of(ctx), wanted, _password(password_stdin), as_json=as_json)


@users.command("set-password")
@click.argument("login")
@STDIN
@JSON
@click.pass_context
def users_set_password(ctx: click.Context, login: str, password_stdin: bool, as_json: bool) -> None:
    """Give LOGIN a new password. Their sessions end.

    Example: ivr users set-password asha
    """
    from appliance.ops import users as command

    command.set_password(settings_of(ctx), login, _password(password_stdin), as_json=as_json)


@users.command("disable")
@click.argument("login")
@JSON
@click.pass_context
def users_disable(ctx: click.Context, login: str, as_json: bool) -> None:
    """Shut LOGIN out: sessions and API keys end at once.

    Example: ivr users disable asha
    """
    from appliance.ops import users as command

    command.set_enabled(settings_of(ctx), login, False, as_json=as_json)


@users.command("enable")
@click.argument("login")
@JSON
@click.pass_context
def users_enable(ctx: click.Context, login: str, as_json: bool) -> None:
    """Let LOGIN in again, also after too many wrong passwords.

    Example: ivr users enable asha
    """
    from appliance.ops import users as command

    command.set_enabled(settings_of(ctx), login, True, as_json=as_json)


@users.command("reset-second-factor")
@click.argument("login")
@JSON
@click.pass_context
def users_reset_second_factor(ctx: click.Context, login: str, as_json: bool) -> None:
    """Take the second factor away from LOGIN, who has lost it.

    Example: ivr users reset-second-factor asha
    """
    from appliance.ops import users as command

    command.reset_second_factor(settings_of(ctx), login, as_json=as_json)


def _password(from_stdin: bool) -> str:
    """Never from the command line, where others on the machine can read it."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
