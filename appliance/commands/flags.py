"""``ivr flags``: what a person should look at, decided and mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.commands.common import AGENT, BY, JSON, settings_of

NOTE = click.option("--note", default="", help="Why, kept with the decision.")
SINCE = click.option("--since", default="", help="30m, 2h, 7d, or a date such as 2026-11-20.")


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def flags(ctx: click.Context, as_json: bool) -> None:
    """List what a person should look at: open flags, the gravest first.

    Example: ivr flags
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(flags_list, as_json=as_json)


@flags.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "confirmed", "dismissed", "all"]),
    default="open",
    show_default=True,
    help="What was decided.",
)
@click.option("--rule", default="", help="Only what this rule has found.")
@click.option("--category", default="", help="words, grounding, abuse, self-harm, changed, ….")
@click.option("--severity", default="", help="low, medium or high.")
@click.option("--side", default="", help="agent or caller.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="How many.")
@AGENT
@SINCE
@JSON
@click.pass_context
def flags_list(ctx: click.Context, /, **options: Any) -> None:
    """List flags, the gravest first.

    Example: ivr flags list --state all --category self-harm --since 7d
    """
    from appliance.ops import flags as command

    limit, as_json = options.pop("limit"), options.pop("as_json")
    since = options.pop("since")
    command.print_flags(settings_of(ctx), _wanted(**options), since, limit, as_json=as_json)


@flags.command("trends")
@click.option(
    "--by",
    type=click.Choice(["day", "agent", "rule", "category", "severity"]),
    default="day",
    show_default=True,
    help="What is counted together.",
)
@AGENT
@SINCE
@JSON
@click.pass_context
def flags_trends(ctx: click.Context, by: str, agent: str, since: str, as_json: bool) -> None:
    """Count flags by day, agent or rule, and what became of them.

    Example: ivr flags trends --by rule --since 30d
    """
    from appliance.ops import flags as command

    command.print_trends(settings_of(ctx), _wanted("all", agent), since, by, as_json=as_json)


@flags.command("show")
@click.argument("flag", metavar="ID")
@JSON
@click.pass_context
def flags_show(ctx: click.Context, flag: str, as_json: bool) -> None:
    """Show a flag: question, answer, phrase, passages, its place in the recording, and the retest.

    ID may be the first characters of the flag's id.

    Example: ivr flags show 3f2a
    """
    from appliance.ops import flags as command

    command.print_flag(settings_of(ctx), flag, as_json=as_json)


@flags.command("add")
@click.argument("call")
@click.argument("turn", type=int)
@click.option(
    "--severity",
    type=click.Choice(["low", "medium", "high"]),
    default="medium",
    show_default=True,
    help="How grave it is.",
)
@BY
@NOTE
@JSON
@click.pass_context
def flags_add(ctx: click.Context, /, **options: Any) -> None:
    """Put the answer that CALL got in TURN into the queue, as `ivr calls show CALL` numbers them.

    Example: ivr flags add 3f2a 4 --note "the fee is ninety rupees"
    """
    from appliance.ops import flags as command

    command.add(settings_of(ctx), **options)


@flags.command("confirm")
@click.argument("flag", metavar="ID")
@BY
@NOTE
@JSON
@click.pass_context
def flags_confirm(ctx: click.Context, flag: str, by: str, note: str, as_json: bool) -> None:
    """Say that a flag was right: what was said is answered from no cache any more.

    Example: ivr flags confirm 3f2a --note "the fee was wrong"
    """
    from appliance.ops import flags as command

    command.decide(settings_of(ctx), "confirm", flag, by, note, as_json=as_json)


@flags.command("dismiss")
@click.argument("flag", metavar="ID")
@BY
@NOTE
@JSON
@click.pass_context
def flags_dismiss(ctx: click.Context, flag: str, by: str, note: str, as_json: bool) -> None:
    """Say that nothing was wrong.

    Example: ivr flags dismiss 3f2a
    """
    from appliance.ops import flags as command

    command.decide(settings_of(ctx), "dismiss", flag, by, note, as_json=as_json)


@flags.command("reopen")
@click.argument("flag", metavar="ID")
@BY
@NOTE
@JSON
@click.pass_context
def flags_reopen(ctx: click.Context, flag: str, by: str, note: str, as_json: bool) -> None:
    """Put a flag that was decided back into the queue.

    Example: ivr flags reopen 3f2a
    """
    from appliance.ops import flags as command

    command.decide(settings_of(ctx), "reopen", flag, by, note, as_json=as_json)


@flags.command("retest")
@click.argument("flag", metavar="ID")
@BY
@JSON
@click.pass_context
def flags_retest(ctx: click.Context, flag: str, by: str, as_json: bool) -> None:
    """Ask a flag's question again, of agent, knowledge and rules as they are now; show both answers.

    Example: ivr flags retest 3f2a
    """
    from appliance.ops import flags as command

    command.retest(settings_of(ctx), flag, by, as_json=as_json)


@flags.command("fix")
@click.argument("prefix", metavar="ID")
@click.option("--answer", "text", default="", help="The right answer, put into the knowledge base.")
@click.option("--question", default="", help="The question that it answers, if not the flag's.")
@click.option("--rule-off", is_flag=True, help="Switch off the site's rule that raised the flag.")
@click.option("--rule-text", default="", help="New words or pattern of the site's rule.")
@BY
@JSON
@click.pass_context
def flags_fix(ctx: click.Context, /, **options: Any) -> None:
    """Correct the knowledge or the rule from a flag, ask the question again, and show before and after.

    Example: ivr flags fix 3f2a --answer "The late fee is ninety rupees."
    """
    from appliance.ops import flags as command

    command.fix(settings_of(ctx), **options)


@flags.command("audio")
@click.argument("flag", metavar="ID")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@JSON
@click.pass_context
def flags_audio(ctx: click.Context, flag: str, out: Path, as_json: bool) -> None:
    """Cut the place of a flag out of its recording, into the WAV file OUT.

    Example: ivr flags audio 3f2a flag.wav
    """
    from appliance.ops import flags as command

    command.save_audio(settings_of(ctx), flag, out, as_json=as_json)


def _wanted(
    state: str = "all",
    agent: str = "",
    rule: str = "",
    category: str = "",
    severity: str = "",
    side: str = "",
) -> Any:
    from appliance.store.flags import Wanted

    wanted = "" if state == "all" else state
    return Wanted(wanted, agent, rule, category, severity, side)
