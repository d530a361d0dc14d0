"""``ivr rules``: what agents must not say, and what a person should know of."""

from __future__ import annotations

from typing import Any

import click

from appliance.commands.common import BY, JSON, settings_of

AGENT = click.option("--agent", default=None, help="Only in calls of this agent; '': of all.")
LANGUAGE = click.option("--language", default=None, help="Only of this language (hi); '': of all.")
SIDE = click.option("--side", default=None, help="Whose words: agent, caller or both.")
CATEGORY = click.option("--category", default=None, help="words, abuse, promise, ….")
SEVERITY = click.option("--severity", default=None, help="low, medium or high.")
ACTION = click.option("--action", default=None, help="stop, or flag. A caller is only flagged.")
NOTE = click.option("--note", default=None, help="Why it is there.")


@click.group()
def rules() -> None:
    """What agents must not say, and what a person should know of: the site's own rules.

    Example: ivr rules add "free upgrade for life" --severity high
    """


@rules.command("list")
@click.option("--agent", default="", help="Only those that this agent's calls are under.")
@JSON
@click.pass_context
def rules_list(ctx: click.Context, agent: str, as_json: bool) -> None:
    """List the site's rules; the built-in ones stand in docs/safety.md.

    Example: ivr rules list --agent sunrise
    """
    from appliance.ops import rules as command

    command.print_list(settings_of(ctx), agent, as_json=as_json)


@rules.command("add")
@click.argument("text")
@click.option("--pattern", is_flag=True, help="TEXT is a regular expression (RE2), in any case.")
@BY
@AGENT
@LANGUAGE
@SIDE
@CATEGORY
@SEVERITY
@ACTION
@NOTE
@JSON
@click.pass_context
def rules_add(
    ctx: click.Context, /, text: str, pattern: bool, by: str, as_json: bool, **fields: Any
) -> None:
    """Add a rule: TEXT is a word, or several in a row, in any spelling that the guard folds.

    Example: ivr rules add "lifetime free" --category promise --note "legal, 12 May"
    """
    from appliance.ops import rules as command
    from appliance.safety.rules import SiteRule

    note, given = _given(fields)
    rule = SiteRule(0, "pattern" if pattern else "words", text, **given)
    command.add(settings_of(ctx), rule, note or "", by, as_json=as_json)


@rules.command("edit")
@click.argument("rule", metavar="ID", type=int)
@click.option("--text", default=None, help="The words, or the pattern.")
@AGENT
@LANGUAGE
@SIDE
@CATEGORY
@SEVERITY
@ACTION
@NOTE
@JSON
@click.pass_context
def rules_edit(ctx: click.Context, /, rule: int, as_json: bool, **fields: Any) -> None:
    """Change a rule; what is not given stays.

    Example: ivr rules edit 12 --action flag
    """
    from appliance.ops import rules as command

    note, given = _given(fields)
    command.edit(settings_of(ctx), rule, given, note, as_json=as_json)


@rules.command("disable")
@click.argument("rule", metavar="ID", type=int)
@JSON
@click.pass_context
def rules_disable(ctx: click.Context, rule: int, as_json: bool) -> None:
    """Keep a rule, but not in force.

    Example: ivr rules disable 12
    """
    from appliance.ops import rules as command

    command.disable(settings_of(ctx), rule, as_json=as_json)


@rules.command("enable")
@click.argument("rule", metavar="ID", type=int)
@JSON
@click.pass_context
def rules_enable(ctx: click.Context, rule: int, as_json: bool) -> None:
    """Put a disabled rule in force again.

    Example: ivr rules enable 12
    """
    from appliance.ops import rules as command

    command.enable(settings_of(ctx), rule, as_json=as_json)


@rules.command("remove")
@click.argument("rule", metavar="ID", type=int)
@JSON
@click.pass_context
def rules_remove(ctx: click.Context, rule: int, as_json: bool) -> None:
    """Remove a rule for good.

    Example: ivr rules remove 12
    """
    from appliance.ops import rules as command

    command.remove(settings_of(ctx), rule, as_json=as_json)


@rules.command("check")
@click.argument("text")
@click.option("--agent", default="", help="As in calls of this agent.")
@click.option("--language", default="", help="As in calls of this language; else the agent's.")
@JSON
@click.pass_context
def rules_check(ctx: click.Context, text: str, agent: str, language: str, as_json: bool) -> None:
    """Show what would be found in TEXT, said by an agent and by a caller, and how long it took.

    Example: ivr rules check "I guarantee you a full refund" --agent sunrise
    """
    from appliance.ops import rules as command

    command.check(settings_of(ctx), text, agent, language, as_json=as_json)


def _given(fields: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The note, and the fields of a rule that were given, as they are called there."""
    names = {"agent": "agent_id"}
    given = {names.get(k, k): v for k, v in fields.items() if k != "note" and v is not None}
    return fields["note"], given
