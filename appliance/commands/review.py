"""``ivr ask``, ``ivr golden`` and ``ivr answers``: what agents answer, asked without a call."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.commands.common import AGENT, BY, JSON, settings_of


@click.command()
@click.argument("agent")
@click.argument("question")
@click.option("--after", multiple=True, help="What the caller said before; repeatable, in order.")
@JSON
@click.pass_context
def ask(
    ctx: click.Context, agent: str, question: str, after: tuple[str, ...], as_json: bool
) -> None:
    """Ask AGENT a QUESTION as a caller would be answered: search, language model, guard; no call.

    Example: ivr ask sunrise "and how much is it?" --after "tell me about the home plan"
    """
    from appliance.ops.review import ask as command

    command.ask(settings_of(ctx), agent, question, after, as_json=as_json)


@click.group(invoke_without_command=True)
@AGENT
@JSON
@click.pass_context
def golden(ctx: click.Context, agent: str, as_json: bool) -> None:
    """List golden questions: asked every night, so that a changed or wrong answer is flagged.

    Example: ivr golden
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(golden_list, agent=agent, as_json=as_json)


@golden.command("list")
@AGENT
@JSON
@click.pass_context
def golden_list(ctx: click.Context, agent: str, as_json: bool) -> None:
    """List golden questions, and how they were answered last.

    Example: ivr golden list --agent sunrise
    """
    from appliance.ops.review import golden as command

    command.print_questions(settings_of(ctx), agent, as_json=as_json)


@golden.command("add")
@click.argument("agent")
@click.argument("question")
@click.option("--expect", default="", help="Words of a right answer, alternatives parted by |.")
@BY
@JSON
@click.pass_context
def golden_add(
    ctx: click.Context, agent: str, question: str, expect: str, by: str, as_json: bool
) -> None:
    """Watch what AGENT answers to QUESTION.

    Example: ivr golden add sunrise "what is the late fee" --expect "100 rupees"
    """
    from appliance.ops.review import golden as command
    from appliance.store.golden import NewQuestion

    new = NewQuestion(agent, question, expect)
    command.add(settings_of(ctx), new, by, as_json=as_json)


@golden.command("import")
@click.argument("agent")
@click.argument("file", type=click.Path(path_type=Path))
@BY
@JSON
@click.pass_context
def golden_import(ctx: click.Context, agent: str, file: Path, by: str, as_json: bool) -> None:
    """Add the questions of a CSV FILE: question, expected words.

    Example: ivr golden import sunrise questions.csv
    """
    from appliance.ops.review import golden as command

    command.import_file(settings_of(ctx), agent, file, by, as_json=as_json)


@golden.command("run")
@AGENT
@JSON
@click.pass_context
def golden_run(ctx: click.Context, agent: str, as_json: bool) -> None:
    """Ask all golden questions now. Ends with status 1 when an answer is not as before.

    Example: ivr golden run --agent sunrise
    """
    from appliance.ops.review import golden as command

    if not command.run(settings_of(ctx), agent, as_json=as_json):
        sys.exit(1)


@golden.command("remove")
@click.argument("number", type=int)
@JSON
@click.pass_context
def golden_remove(ctx: click.Context, number: int, as_json: bool) -> None:
    """Watch the golden question NUMBER no longer.

    Example: ivr golden remove 3
    """
    from appliance.ops.review import golden as command

    command.remove(settings_of(ctx), number, as_json=as_json)


@click.group(invoke_without_command=True)
@AGENT
@JSON
@click.pass_context
def answers(ctx: click.Context, agent: str, as_json: bool) -> None:
    """List the answers to common questions that were made in advance.

    Example: ivr answers
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(answers_list, agent=agent, as_json=as_json)


@answers.command("list")
@AGENT
@JSON
@click.pass_context
def answers_list(ctx: click.Context, agent: str, as_json: bool) -> None:
    """List the answers to common questions that were made in advance.

    Example: ivr answers list --agent sunrise
    """
    from appliance.ops.review import answers as command

    command.print_answers(settings_of(ctx), agent, as_json=as_json)


@answers.command("make")
@AGENT
@JSON
@click.pass_context
def answers_make(ctx: click.Context, agent: str, as_json: bool) -> None:
    """Make the missing answers now; `ivr jobs` does it every few minutes.

    Example: ivr answers make --agent sunrise
    """
    from appliance.ops.review import answers as command

    command.make(settings_of(ctx), agent, as_json=as_json)


@answers.command("withdraw")
@click.argument("agent")
@click.argument("question")
@JSON
@click.pass_context
def answers_withdraw(ctx: click.Context, agent: str, question: str, as_json: bool) -> None:
    """Have AGENT think about QUESTION again, instead of saying what was made in advance.

    Example: ivr answers withdraw sunrise "what is the late fee"
    """
    from appliance.ops.review import answers as command

    command.withdraw(settings_of(ctx), agent, question, as_json=as_json)
