"""The commands with which an operator keeps trunks, numbers, telephones, queues and the
do-not-call list; ``appliance.__main__`` adds them to ``ivr``.

Each imports what it needs only when it runs, so that the other processes never load it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from appliance.errors import UserError
from appliance.settings import Settings
from appliance.telemetry import configure

PASSWORD_VARIABLE = "IVR_TRUNK_PASSWORD"  # the name of a variable, not a password
F = TypeVar("F", bound=Callable[..., object])

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


def _settings(ctx: click.Context) -> Settings:
    settings: Settings = ctx.obj()
    configure("ivr", level="WARNING", json=settings.log.json_lines)
    return settings


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
@_JSON
@click.pass_context
def trunks(ctx: click.Context, as_json: bool) -> None:
    """List the trunks: the carriers' gateways, and whether they are up.

    Example: ivr trunks
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import trunks as command

        command.print_trunks(_settings(ctx), as_json=as_json)


@trunks.command("add")
@click.argument("name")
@_options(_TRUNK_OPTIONS)
@_JSON
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
    command.add(_settings(ctx), Trunk(name, **given), as_json=as_json)


@trunks.command("change")
@click.argument("name")
@_options(_TRUNK_OPTIONS)
@click.option("--password", "ask", is_flag=True, help="Ask for another password.")
@_JSON
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
    command.change(_settings(ctx), name, given, as_json=as_json)


@trunks.command("remove")
@click.argument("name")
@_JSON
@click.pass_context
def trunks_remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove the trunk NAME; its live calls go on.

    Example: ivr trunks remove airtel-a
    """
    from appliance.ops import trunks as command

    command.remove(_settings(ctx), name, as_json=as_json)


@trunks.command("enable")
@click.argument("name")
@_JSON
@click.pass_context
def trunks_enable(ctx: click.Context, name: str, as_json: bool) -> None:
    """Take the trunk NAME into use again.

    Example: ivr trunks enable airtel-a
    """
    from appliance.ops import trunks as command

    command.enable(_settings(ctx), name, True, as_json=as_json)


@trunks.command("disable")
@click.argument("name")
@_JSON
@click.pass_context
def trunks_disable(ctx: click.Context, name: str, as_json: bool) -> None:
    """Take the trunk NAME out of use and keep it.

    Example: ivr trunks disable airtel-a
    """
    from appliance.ops import trunks as command

    command.enable(_settings(ctx), name, False, as_json=as_json)


@trunks.command("diagnose")
@click.argument("name")
@_JSON
@click.pass_context
def trunks_diagnose(ctx: click.Context, name: str, as_json: bool) -> None:
    """Find out why the trunk NAME does not work, in plain language. Status 1: something is wrong.

    Asks DNS, sends OPTIONS and REGISTER by itself, and reads the clock, the codecs and our address
    from the answers; one-way audio is told from the last calls of the switch that runs.

    Example: ivr trunks diagnose airtel-a
    """
    from appliance.ops import diagnosis as command

    sys.exit(0 if command.run(_settings(ctx), name, as_json=as_json) else 1)


@click.group(invoke_without_command=True)
@_JSON
@click.pass_context
def numbers(ctx: click.Context, as_json: bool) -> None:
    """List the numbers: which agent answers, when, and who does otherwise.

    Example: ivr numbers
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import numbers as command

        command.print_numbers(_settings(ctx), as_json=as_json)


@numbers.command("add")
@click.argument("did")
@click.option("--agent", metavar="ID", required=True, help="Who answers.")
@click.option("--hours", default="", help="Default: always.")
@click.option("--closed-text", default="", help="Said outside those hours.")
@click.option("--closed-to", default="", metavar="WHO", help="Takes the call then.")
@click.option("--overflow-to", default="", metavar="WHO", help="Takes it when no agent can.")
@_JSON
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
    command.add(_settings(ctx), entry, as_json=as_json)


@numbers.command("remove")
@click.argument("did")
@_JSON
@click.pass_context
def numbers_remove(ctx: click.Context, did: str, as_json: bool) -> None:
    """Let no agent of its own answer the number DID.

    Example: ivr numbers remove +918022223333
    """
    from appliance.ops import numbers as command

    command.remove(_settings(ctx), did, as_json=as_json)


@click.group(invoke_without_command=True)
@_JSON
@click.pass_context
def extensions(ctx: click.Context, as_json: bool) -> None:
    """List the operators' own telephones.

    Example: ivr extensions
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import extensions as command

        command.print_extensions(_settings(ctx), as_json=as_json)


@extensions.command("add")
@click.argument("extension")
@click.option("--name", default="", help="Whose it is.")
@_JSON
@click.pass_context
def extensions_add(ctx: click.Context, extension: str, name: str, as_json: bool) -> None:
    """Add the telephone EXTENSION (2 to 6 digits), or give it a new password.

    The password is made here, shown once, and not kept.

    Example: ivr extensions add 1001 --name Reception
    """
    from appliance.ops import extensions as command

    command.add(_settings(ctx), extension, name, as_json=as_json)


@extensions.command("remove")
@click.argument("extension")
@_JSON
@click.pass_context
def extensions_remove(ctx: click.Context, extension: str, as_json: bool) -> None:
    """Remove the telephone EXTENSION.

    Example: ivr extensions remove 1001
    """
    from appliance.ops import extensions as command

    command.remove(_settings(ctx), extension, as_json=as_json)


@click.group(invoke_without_command=True)
@_JSON
@click.pass_context
def queues(ctx: click.Context, as_json: bool) -> None:
    """List the queues: people who share the calls handed to queue:NAME.

    Example: ivr queues
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import queues as command

        command.print_queues(_settings(ctx), as_json=as_json)


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
@_JSON
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
    from typing import cast

    from appliance.ops import queues as command
    from appliance.store.phonebook import Queue, Strategy

    queue = Queue(name, members, cast(Strategy, strategy), ring, max_wait)
    command.add(_settings(ctx), queue, as_json=as_json)


@queues.command("remove")
@click.argument("name")
@_JSON
@click.pass_context
def queues_remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove the queue NAME.

    Example: ivr queues remove support
    """
    from appliance.ops import queues as command

    command.remove(_settings(ctx), name, as_json=as_json)


@click.group("do-not-call", invoke_without_command=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="How many, the latest first.",
)
@_JSON
@click.pass_context
def do_not_call(ctx: click.Context, limit: int, as_json: bool) -> None:
    """List the numbers that are never called by us, the latest first.

    Example: ivr do-not-call
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import donotcall as command

        command.print_list(_settings(ctx), limit, as_json=as_json)


@do_not_call.command("add")
@click.argument("numbers", nargs=-1, required=True, metavar="NUMBER...")
@click.option("--reason", default="", help="Why; kept beside the number.")
@_JSON
@click.pass_context
def do_not_call_add(
    ctx: click.Context, numbers: tuple[str, ...], reason: str, as_json: bool
) -> None:
    """Never call these numbers again.

    Example: ivr do-not-call add +919876543210 --reason "asked us on the phone"
    """
    from appliance.ops import donotcall as command

    command.add(_settings(ctx), numbers, reason, as_json=as_json)


@do_not_call.command("remove")
@click.argument("number")
@_JSON
@click.pass_context
def do_not_call_remove(ctx: click.Context, number: str, as_json: bool) -> None:
    """Take NUMBER from the list.

    Example: ivr do-not-call remove +919876543210
    """
    from appliance.ops import donotcall as command

    command.remove(_settings(ctx), number, as_json=as_json)


@do_not_call.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", default="imported", show_default=True, help="Kept beside each number.")
@_JSON
@click.pass_context
def do_not_call_import(ctx: click.Context, file: Path, reason: str, as_json: bool) -> None:
    """Add the numbers in the first column of FILE (CSV or one a line).

    Example: ivr do-not-call import ndnc.csv --reason NDNC
    """
    from appliance.ops import donotcall as command

    command.import_file(_settings(ctx), file, reason, as_json=as_json)


COMMANDS: tuple[click.Command, ...] = (trunks, numbers, extensions, queues, do_not_call)


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
