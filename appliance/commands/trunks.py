"""``ivr trunks``: the carriers' gateways."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from appliance.commands.common import JSON, note, settings_of
from appliance.errors import UserError

PASSWORD_VARIABLE = "IVR_TRUNK_PASSWORD"  # the name of a variable, not a password
F = TypeVar("F", bound=Callable[..., object])


def _options(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_TRUNK_OPTIONS: list[Callable[[Any], Any]] = [
    click.option("--proxy", metavar="HOST[:PORT]", help="Where its SIP goes to."),
    click.option("--carrier", help="Trunks of one carrier stand in for each other."),
    click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]), help="Default: udp."),
    click.option("--register/--no-register", default=None, help="Default: the address is enough."),
    click.option("--username", help="For digest authentication."),
    click.option("--password-stdin", is_flag=True, help="Read the password from stdin."),
    click.option("--realm", help="Domain of the carrier; default: the host of --proxy."),
    click.option(
        "--address", "addresses", metavar="CIDR", multiple=True,
        help="Where its calls come from; repeatable. Default: the addresses of --proxy.",
    ),
    click.option("--priority", type=int, help="Lower goes first for calls we make. Default: 10."),
    click.option("--caller-id", metavar="NUMBER", help="Our number on calls through it."),
    click.option(
        "--caller-id-rule", type=click.Choice(["own", "pass"]),
        help="pass: show a transferred caller's number. Default: own.",
    ),
    click.option(
        "--number-format", type=click.Choice(["e164", "plain", "national", "subscriber"]),
        help="+9198…, 9198…, 098… or 98…. Default: e164.",
    ),
    click.option("--max-calls", type=int, help="0, the default: no limit of its own."),
    click.option(
        "--codec", "codecs", multiple=True,
        type=click.Choice(["PCMA", "PCMU", "G722", "OPUS"], case_sensitive=False),
        help="In order; repeatable. Default: all of them.",
    ),
    click.option(
        "--srtp", type=click.Choice(["off", "optional", "required"]), help="Default: optional."
    ),
    click.option("--ping", "ping_s", type=int, help="Seconds between OPTIONS; 0: none. Default: 30."),
]  # fmt: skip


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def trunks(ctx: click.Context, as_json: bool) -> None:
    """List the trunks: the carriers' gateways, and whether they are up.

    Example: ivr trunks
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import trunks as command

        command.print_trunks(settings_of(ctx), as_json=as_json)


@trunks.command("add")
@click.argument("name")
@_options(_TRUNK_OPTIONS)
@JSON
@click.pass_context
def trunks_add(
    ctx: click.Context, /, name: str, password_stdin: bool, as_json: bool, **fields: Any
) -> None:
    """Add the trunk NAME. Its password is asked for, or read from stdin or IVR_TRUNK_PASSWORD.

    \b
    Example: ivr trunks add airtel-a --proxy sip.airtel.example --carrier airtel \\
                 --register --username 911140001234 --caller-id +911140001234
    """
    from appliance.ops import trunks as command
    from appliance.store.phonebook import Trunk

    given = _given(fields)
    if "proxy" not in given:
        raise UserError("Say where its SIP goes to: --proxy sip.carrier.example")
    if given.get("username"):
        given["password"] = _password(password_stdin)
    command.add(settings_of(ctx), Trunk(name, **given), as_json=as_json)


@trunks.command("change")
@click.argument("name")
@_options(_TRUNK_OPTIONS)
@click.option("--password", "ask", is_flag=True, help="Ask for another password.")
@JSON
@click.pass_context
def trunks_change(
    ctx: click.Context, /, name: str, password_stdin: bool, ask: bool, as_json: bool, **fields: Any
) -> None:
    """Change what is named of the trunk NAME and keep the rest.

    Example: ivr trunks change airtel-a --priority 5 --max-calls 30
    """
    from appliance.ops import trunks as command

    given = _given(fields)
    if password_stdin or ask:
        given["password"] = _password(password_stdin)
    command.change(settings_of(ctx), name, given, as_json=as_json)


@trunks.command("remove")
@click.argument("name")
@JSON
@click.pass_context
def trunks_remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove the trunk NAME; its live calls go on.

    Example: ivr trunks remove airtel-a
    """
    from appliance.ops import trunks as command

    command.remove(settings_of(ctx), name, as_json=as_json)


@trunks.command("enable")
@click.argument("name")
@JSON
@click.pass_context
def trunks_enable(ctx: click.Context, name: str, as_json: bool) -> None:
    """Take the trunk NAME into use again.

    Example: ivr trunks enable airtel-a
    """
    from appliance.ops import trunks as command

    command.enable(settings_of(ctx), name, True, as_json=as_json)


@trunks.command("disable")
@click.argument("name")
@JSON
@click.pass_context
def trunks_disable(ctx: click.Context, name: str, as_json: bool) -> None:
    """Take the trunk NAME out of use and keep it.

    Example: ivr trunks disable airtel-a
    """
    from appliance.ops import trunks as command

    command.enable(settings_of(ctx), name, False, as_json=as_json)


@trunks.command("diagnose")
@click.argument("name")
@JSON
@click.pass_context
def trunks_diagnose(ctx: click.Context, name: str, as_json: bool) -> None:
    """Find out why the trunk NAME does not work, in plain language. Status 1: something is wrong.

    Asks DNS, sends OPTIONS and REGISTER by itself, and reads the clock, the codecs and our address
    from the answers; one-way audio is told from the last calls of the switch that runs.

    Example: ivr trunks diagnose airtel-a
    """
    from appliance.ops import diagnosis as command

    settings = settings_of(ctx)
    note(settings, "trunk.diagnose", name)
    sys.exit(0 if command.run(settings, name, as_json=as_json) else 1)


@trunks.command("toll")
@click.argument("number", required=False)
@click.option("--unblock", metavar="RANGE", help="Let a range be rung again that a burst stopped.")
@JSON
@click.pass_context
def trunks_toll(ctx: click.Context, number: str | None, unblock: str | None, as_json: bool) -> None:
    """Show whom this box may ring, and how much it has; with NUMBER, whether that one (status 1: no).

    The rules are [toll] in ivr.toml: prefixes, limits on other countries, trunks and tenants.

    \b
    Example: ivr trunks toll +971501234567
    """
    from appliance.ops import toll as command

    sys.exit(0 if command.run(settings_of(ctx), number or "", unblock or "", as_json) else 1)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """What was said of a trunk; options that were not are left out."""
    given = {name: value for name, value in fields.items() if value is not None and value != ()}
    if "codecs" in given:
        given["codecs"] = tuple(codec.upper() for codec in given["codecs"])
    return given


def _password(from_stdin: bool) -> str:
    """Never from the arguments, which every user of the machine can read."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    if not sys.stdin.isatty():
        raise UserError(f"Give the password with --password-stdin or in {PASSWORD_VARIABLE}.")
    return str(click.prompt("Password", hide_input=True))
