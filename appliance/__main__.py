"""The console script ``ivr``: each command is a process, or looks at what one left.

Each command imports only what its process needs, so that a GPL or a heavy package never reaches a
process that does not use it.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from appliance import __version__
from appliance.commands import (
    admin,
    auditlog,
    backup,
    bundle,
    campaign,
    capacity,
    cluster,
    doctor,
    donotcall,
    embedded,
    extensions,
    firewall,
    flags,
    jobs,
    knowledge,
    live,
    llm,
    models,
    numbers,
    pools,
    privacy,
    queues,
    rehearse,
    releases,
    review,
    rules,
    servers,
    switch,
    tenants,
    top,
    trunks,
    users,
)
from appliance.commands.common import note, start
from appliance.errors import UserError
from appliance.settings import Settings, load

_MANUAL = {
    "Settings": [
        ("./ivr.toml", "Or the file of --settings or IVR_SETTINGS; /etc/ivr/ivr.toml on a box."),
        ("IVR_…", "Overrides one setting: IVR_WORKER__PORT=7001 is port in [worker]."),
    ],
    "Exit status": [
        ("0", "Done; nothing is wrong."),
        ("1", "Done, and what was looked at is not as it should be."),
        ("2", "Not done: one sentence on stderr says why, and what to do."),
    ],
    "See also": [
        ("ivr COMMAND --help", "With an example of each; --json where it reports."),
        ("docs/", "operator.md, admin.md, install.md: by who you are."),
    ],
}


class _Commands(click.Group):
    """All commands, listed by what they are for. A user's error ends in one sentence and status 2,
    never in a traceback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections: dict[str, tuple[click.Command, ...]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As a program. What it loads until it has its settings is no garbage, and the collector would
        look all through it a dozen times: a fifth of a start."""
        gc.disable()
        return super().__call__(*args, **kwargs)

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands, to be listed together under ``title``."""
        self._sections[title] = commands
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        letters = formatter.width - 6 - max(map(len, self.commands))
        for title, commands in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(str(c.name), c.get_short_help_str(letters)) for c in commands])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what holds for all commands, as a manual page would."""
        for title, lines in _MANUAL.items():
            with formatter.section(title):
                formatter.write_dl(lines)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as e:
            click.echo(f"ivr: {e}", err=True)
            sys.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--settings", "file", type=click.Path(path_type=Path), help="Settings, instead of ./ivr.toml."
)
@click.version_option(__version__)
@click.pass_context
def main(ctx: click.Context, file: Path | None) -> None:
    """The voice agent that answers the telephone in your own rack.

    Example: ivr up
    """
    ctx.obj = lambda: _settings(file)


def _settings(file: Path | None) -> Settings:
    if not gc.isenabled():
        gc.freeze()  # what is loaded by now stays: the collector need not look at it again
        gc.enable()
    return load(file)


@main.command()
@click.option("--listen", metavar="ADDRESS", help="Where telephones reach this machine: sip.host.")
@click.option(
    "--allow", metavar="NETWORK", multiple=True, help="Who may call: sip.allow; repeatable."
)
@click.option(
    "--seed/--no-seed",
    default=True,
    show_default=True,
    help="Publish the sample agent when no number is answered yet.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, when calls are answered.")
@click.pass_context
def up(
    ctx: click.Context, listen: str | None, allow: tuple[str, ...], seed: bool, as_json: bool
) -> None:
    """Run the whole appliance on this machine until Ctrl-C.

    Example: ivr up --listen 192.168.1.10 --allow 192.168.1.0/24
    """
    from appliance.ops import supervisor as process

    overrides = {} if listen is None else {"IVR_SIP__HOST": listen}
    if allow:
        overrides["IVR_SIP__ALLOW"] = orjson.dumps(allow).decode()
    if ctx.parent is not None and (file := ctx.parent.params["file"]) is not None:
        overrides["IVR_SETTINGS"] = str(file.absolute())
    os.environ.update(overrides)  # for the children too
    process.run(start(ctx, "up"), process.Options(seed=seed, as_json=as_json))


@main.command()
@click.pass_context
def worker(ctx: click.Context) -> None:
    """Carry calls: media websocket in, datagrams out.

    Where it listens, whom it asks and how many calls it takes are settings: [worker], [engines].

    Example: ivr worker
    """
    from appliance.call import worker as process

    process.run(start(ctx, "worker"))


@main.command()
@click.pass_context
def sip(ctx: click.Context) -> None:
    """Answer SIP calls and hand them to the workers.

    Its address, who may call and the workers are settings: [sip].

    Example: ivr sip
    """
    from appliance.telephony import sip as process

    process.run(start(ctx, "sip"))


@main.group()
def db() -> None:
    """Look after the database.

    Example: ivr db upgrade
    """


@db.command("upgrade")
@click.pass_context
def db_upgrade(ctx: click.Context) -> None:
    """Bring the database's tables up to this version of the appliance; safe to repeat.

    Example: ivr db upgrade
    """
    from appliance.store import database

    url = database.database_url(ctx.obj())
    database.migrate(url)
    click.echo(f"{database.without_password(url)} is up to date.")


@main.command()
@click.pass_context
def seed(ctx: click.Context) -> None:
    """Publish the sample agent on an appliance that answers no number yet.

    Example: ivr seed
    """
    import asyncio

    from appliance.ops.seed import seed as publish

    settings = start(ctx, "seed")
    agent = asyncio.run(publish(settings))
    if agent:
        note(settings, "agent.publish", agent.id, version=agent.version)
    click.echo(
        f"Agent {agent.name} answers every number." if agent else "Nothing to do: numbers are set."
    )


@main.group(invoke_without_command=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many, the latest first.",
)
@click.option("--agent", metavar="ID", help="Only calls that this agent answered.")
@click.option("--since", metavar="WHEN", help="30m, 2h, 7d, or a date such as 2026-11-20.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_context
def calls(
    ctx: click.Context, limit: int, agent: str | None, since: str | None, as_json: bool
) -> None:
    """List the latest calls: when, who, how long, and the gaps that the caller heard.

    Example: ivr calls --since 2h --agent sunrise
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import calls as command

        command.print_calls(ctx.obj(), limit=limit, agent=agent, since=since, as_json=as_json)


@calls.command("show")
@click.argument("call_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.pass_context
def calls_show(ctx: click.Context, call_id: str, as_json: bool) -> None:
    """Show one call turn by turn: said, heard, passages, and where the time went.

    A * stands before the passages that the answer rests on.

    ID may be the first characters of the call's id.

    Example: ivr calls show 3f2a
    """
    from appliance.ops import calls as command

    command.print_call(ctx.obj(), call_id, as_json=as_json)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Only the JSON object on stdout.")
@click.pass_context
def demo(ctx: click.Context, as_json: bool) -> None:
    """Start the appliance, ring it over real SIP, and show the whole call.

    The last line is one JSON object: turns, words_right, gap_p50_ms, gap_p95_ms, barge_in_ms,
    recording, call_id.

    Example: ivr demo
    """
    from appliance.ops.demo import run as command

    command.run(ctx.obj(), as_json=as_json)


main.add_section("Run it", up, demo, seed, db, doctor.doctor, top.top)
main.add_section(
    "Processes",
    worker,
    sip,
    switch.switch,
    jobs.jobs,
    admin.admin,
    pools.pools,
    cluster.cluster,
    embedded.postgres,
    embedded.redis,
)
main.add_section(
    "Engine servers", servers.stt, servers.tts, servers.turn, servers.embed, servers.rerank, llm.llm,
    servers.emulate,
)  # fmt: skip
main.add_section(
    "Calls",
    calls,
    live.live,
    live.supervise,
    live.call,
    live.outbound,
    donotcall.do_not_call,
    campaign.campaign,
)
main.add_section(
    "Trunks and numbers", trunks.trunks, numbers.numbers, extensions.extensions, queues.queues
)
main.add_section(
    "What agents answer", knowledge.knowledge, review.ask, review.answers, review.golden
)
main.add_section("Access", users.users, tenants.tenants, auditlog.audit_log, firewall.firewall)
main.add_section("Backups", backup.backup)
main.add_section("Safety and privacy", rules.rules, flags.flags, privacy.retention, privacy.erase)
main.add_section(
    "Models and load", models.models, capacity.capacity, rehearse.rehearse, rehearse.audit
)
main.add_section("Releases", releases.upgrade, releases.rollback, releases.releases, bundle.bundle)


if __name__ == "__main__":
    main()
