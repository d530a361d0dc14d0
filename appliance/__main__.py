"""The console script ``ivr``: each command is a process, or looks at what one left.

Each command imports only what its process needs, so that a GPL or a heavy package never reaches a
process that does not use it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from appliance import __version__
from appliance.commands.live import call, live, outbound, supervise
from appliance.errors import UserError
from appliance.ops.telephony_commands import COMMANDS as TELEPHONY_COMMANDS
from appliance.settings import Settings, load
from appliance.telemetry import configure


class _Commands(click.Group):
    """A group whose user errors end in one sentence and status 2, never in a traceback."""

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
    ctx.obj = lambda: load(file)


def _start(ctx: click.Context, process: str) -> Settings:
    settings: Settings = ctx.obj()
    configure(process, level=settings.log.level, json=settings.log.json_lines)
    return settings


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
    process.run(_start(ctx, "up"), process.Options(seed=seed, as_json=as_json))


@main.command()
@click.pass_context
def worker(ctx: click.Context) -> None:
    """Carry calls: media websocket in, datagrams out.

    Where it listens, whom it asks and how many calls it takes are settings: [worker], [engines].

    Example: ivr worker
    """
    from appliance.call import worker as process

    process.run(_start(ctx, "worker"))


@main.command()
@click.option(
    "--engine",
    type=click.Choice(["pocketsphinx", "faster-whisper"]),
    default="pocketsphinx",
    show_default=True,
    help="faster-whisper: Whisper.",
)
@click.option(
    "--model", default="", metavar="NAME|FOLDER", help="Of Whisper: large-v3-turbo, or a folder."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="Of Whisper; auto: a GPU if there is one.",
)
@click.option("--compute-type", default="", help="Of Whisper; float16 on a GPU, int8 on a CPU.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=7101, show_default=True, help="0: a free one.")
@click.pass_context
def stt(
    ctx: click.Context,
    engine: str,
    model: str,
    device: str,
    compute_type: str,
    host: str,
    port: int,
) -> None:
    """Serve speech recognition to the workers.

    pocketsphinx knows only the words of the agents' knowledge: for demos and tests. For real
    callers: faster-whisper.

    \b
    Example: ivr stt --engine faster-whisper --model large-v3-turbo --host 192.168.1.10
    """
    from appliance.models import stt_server as process
    from appliance.models.engine import ModelOptions

    options = ModelOptions(model, device, compute_type)
    process.run(_start(ctx, "stt"), engine, host, port, options)


@main.command()
@click.option(
    "--engine",
    type=click.Choice(["flite", "espeak"]),
    default="flite",
    show_default=True,
    help="flite: English; espeak: Indian languages too.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=7201, show_default=True, help="0: a free one.")
@click.pass_context
def tts(ctx: click.Context, engine: str, host: str, port: int) -> None:
    """Serve speech synthesis to the workers.

    Example: ivr tts --engine espeak --port 7202
    """
    from appliance.models import tts_server as process

    process.run(_start(ctx, "tts"), engine, host, port)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=7301, show_default=True, help="0: a free one.")
@click.pass_context
def turn(ctx: click.Context, host: str, port: int) -> None:
    """Serve the semantic end-of-turn model (Smart Turn).

    Example: ivr turn --port 7301
    """
    from appliance.models import turn_server as process

    process.run(_start(ctx, "turn"), host, port)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=7401, show_default=True, help="0: a free one.")
@click.pass_context
def embed(ctx: click.Context, host: str, port: int) -> None:
    """Serve text embeddings for knowledge search.

    Example: ivr embed --port 7401
    """
    from appliance.models import embed_server as process

    process.run(_start(ctx, "embed"), host, port)


@main.command()
@click.pass_context
def sip(ctx: click.Context) -> None:
    """Answer SIP calls and hand them to the workers.

    Its address, who may call and the workers are settings: [sip].

    Example: ivr sip
    """
    from appliance.telephony import sip as process

    process.run(_start(ctx, "sip"))


@main.group(invoke_without_command=True)
@click.pass_context
def switch(ctx: click.Context) -> None:
    """Control FreeSWITCH's calls: trunks, numbers, transfers.

    Where FreeSWITCH is, who answers and how many calls are taken are settings: [switch].

    Example: ivr switch
    """
    if ctx.invoked_subcommand is None:
        from appliance.telephony import control as process

        process.run(_start(ctx, "switch"))


@switch.command("configure")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--address", metavar="A", help="Own IP address for SIP and audio. Default: the machine's first."
)
@click.option(
    "--external-address", metavar="A", help="Behind NAT: the IP address that carriers see."
)
@click.option(
    "--sip-port", type=int, metavar="N", help="For trunks; TLS on the next. Default: 5060."
)
@click.option(
    "--phones-port", type=int, metavar="N", help="For telephones; TLS on the next. Default: 5070."
)
@click.option("--rtp-ports", metavar="A-B", help="For audio, two a leg. Default: 16384-32766.")
@click.option(
    "--domain", metavar="D", help="SIP domain of our own telephones. Default: ivr.internal."
)
@click.option(
    "--tls-certificates",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Offer TLS with its agent.pem; cafile.pem checks others.",
)
@click.option(
    "--failure-dial",
    metavar="DIAL",
    help="Dial string of the person who takes calls when all else fails.",
)
@click.option(
    "--sessions-per-second", type=int, metavar="N", help="Most new legs a second. Default: 50."
)
@click.option(
    "--group", metavar="NAME", help="Unix group that FreeSWITCH runs in, to read DIR/site."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def switch_configure(
    ctx: click.Context, /, folder: Path, rtp_ports: str | None, as_json: bool, **given: Any
) -> None:
    """Write FreeSWITCH's configuration to DIR; again: repair or upgrade it.

    What an option does not say stays as it was. Trunks and telephones, in DIR/site, stay.

    \b
    Example: ivr switch configure /etc/freeswitch --external-address 203.0.113.7
    """
    from appliance.telephony import site

    ports = None if rtp_ports is None else site.port_range(rtp_ports)
    made = site.configure(ctx.obj(), folder, site.Options(rtp_ports=ports, **given))
    shown = made.summary()
    if as_json:
        click.echo(orjson.dumps(shown))
    else:
        click.echo("".join(f"{name:18} {value}\n" for name, value in shown.items()), nl=False)
        click.echo(f"Start it: freeswitch -nonat -conf {folder.resolve()}")


@main.command()
@click.option(
    "--stage",
    default="stt,tts,llm,turn,embed",
    show_default=True,
    help="Any of these, with commas.",
)
@click.option("--port", type=int, default=0, help="First port, one a stage; 0: free ports.")
@click.option(
    "--script",
    type=click.Path(path_type=Path),
    required=True,
    help="What the callers say (python -m bench.script makes one).",
)
@click.pass_context
def emulate(ctx: click.Context, stage: str, port: int, script: Path) -> None:
    """Serve emulated engines with declared latencies, for rehearsals.

    Prints their addresses as one line of JSON.

    \b
    Example: ivr emulate --stage stt,llm --port 7501 --script bench/out/script/script.json
    """
    from appliance.engines import emulated as process

    _start(ctx, "emulate")
    process.run(stage.split(","), port, script)


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


@main.group()
def knowledge() -> None:
    """Load and search what agents answer from.

    Example: ivr knowledge search sunrise-broadband "when are you open"
    """


@knowledge.command("load")
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--language", default="en", show_default=True, help="BCP 47: en, hi, ta, ….")
@click.pass_context
def knowledge_load(ctx: click.Context, name: str, files: tuple[Path, ...], language: str) -> None:
    """Make Markdown FILES the next version of the knowledge base NAME.

    Example: ivr knowledge load helpline faq.md tariffs.md
    """
    import asyncio

    from appliance.ops.knowledge import load_files

    loaded = asyncio.run(load_files(_start(ctx, "knowledge"), name, files, language))
    click.echo(f"{loaded.name} version {loaded.version}: {loaded.passages} passages.")


@knowledge.command("search")
@click.argument("name")
@click.argument("question")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def knowledge_search(ctx: click.Context, name: str, question: str, as_json: bool) -> None:
    """Show what the knowledge base NAME says to QUESTION, and how it was found.

    Example: ivr knowledge search sunrise-broadband "when are you open"
    """
    import asyncio

    from appliance.ops import knowledge as shown

    result, version = asyncio.run(shown.search(_start(ctx, "knowledge"), name, question))
    if as_json:
        click.echo(shown.as_json(result, question, version))
    else:
        shown.show(result, question, version)


@main.command()
@click.pass_context
def seed(ctx: click.Context) -> None:
    """Publish the sample agent on an appliance that answers no number yet.

    Example: ivr seed
    """
    import asyncio

    from appliance.ops.seed import seed as publish

    agent = asyncio.run(publish(_start(ctx, "seed")))
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
    from appliance.ops import demo as command

    command.run(ctx.obj(), as_json=as_json)


for _command in TELEPHONY_COMMANDS:
    main.add_command(_command)

for _command in (call, live, outbound, supervise):
    main.add_command(_command)


if __name__ == "__main__":
    main()
