"""The console script: every command says what it does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from appliance.__main__ import main


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below ``group``, with the words that it is typed by."""
    for name, command in group.commands.items():
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


@pytest.mark.parametrize(("typed", "command"), [((), main), *commands(main)], ids=str)
def test_every_command_has_help_with_an_example(
    typed: tuple[str, ...], command: click.Command
) -> None:
    result = CliRunner().invoke(main, [*typed, "--help"])
    assert result.exit_code == 0
    assert f"Example: {' '.join(('ivr', *typed))}" in result.output
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == [], "these options do not say what they are for"


def test_every_command_is_listed_once() -> None:
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line.split()]
    assert sorted(name for name in listed if name in main.commands) == sorted(main.commands)


LOOK = """
import gc
import click
from appliance.__main__ import main

@main.command()
@click.pass_context
def look(ctx):
    before = gc.isenabled()
    ctx.obj()
    click.echo(f"{before} {gc.isenabled()} {gc.get_freeze_count() > 10_000}")

main(["look"])
"""


def test_nothing_is_collected_while_a_program_loads() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True", "True"], done.stderr
