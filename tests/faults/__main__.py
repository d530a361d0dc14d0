"""The command: every fault, one after the other, and what each cost."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import click
import orjson

from tests.faults.run import Trials, Tried, named, possible, try_all

COLUMNS = ("fault", "calls", "unansw.", "wait ms", "refused s", "rows", "turns")
HEAD = "{:16} {:>5} {:>8} {:>8} {:>9} {:>5} {:>6}".format(*COLUMNS)


@click.command()
@click.option("--calls", default=20, show_default=True, help="Calls in progress.")
@click.option("--only", multiple=True, help="A fault by name; repeatable. All of them otherwise.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep there what was logged up to each fault that cost more than it may.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
def main(calls: int, only: tuple[str, ...], logs: Path | None, as_json: bool) -> None:
    """Break the appliance under load in every way there is, and count what is lost.

    Example: python -m tests.faults --calls 20 --only worker --only disk
    """
    wanted = named(only)
    faults = possible(wanted)
    for fault in wanted:
        if fault not in faults:
            click.echo(
                f"{fault.name}: not tried, it needs {'a C compiler' if fault.clock else 'root'}"
            )
    click.echo(HEAD)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        Path(folder).chmod(0o755)  # root's Postgres runs as another user
        tried = try_all(Trials(Path(folder), calls), faults, _tell)
    if logs is not None:
        _keep(tried, logs)
    if as_json:
        print(orjson.dumps({one.fault.name: _row(one) for one in tried}).decode())
    raise SystemExit(any(one.wrong for one in tried))


def _tell(tried: Tried) -> None:
    lost = tried.lost
    click.echo(
        f"{tried.fault.name:16} {lost.calls:5} {lost.unanswered:8} {lost.silence_ms:8.0f}"
        f" {lost.refused_s:9.1f} {lost.rows:5} {lost.turns:6}"
        + "".join(f"\n    BAD: {sentence}" for sentence in tried.wrong)
    )


def _keep(tried: list[Tried], logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for one in tried:
        if one.wrong:
            (logs / f"{one.fault.name}.log").write_text(one.log)


def _row(tried: Tried) -> dict[str, object]:
    return {**dataclasses.asdict(tried.lost), "wrong": tried.wrong}


if __name__ == "__main__":
    main()
