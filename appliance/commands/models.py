"""``ivr models``: the checkpoints that the engine servers load."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from appliance.commands.common import JSON, settings_of
from appliance.errors import UserError


@click.group()
def models() -> None:
    """Fetch, convert, check and plan the models that engine servers load.

    Example: ivr models list
    """


@models.command("list")
@click.option("--here", is_flag=True, help="Only those that are here.")
@JSON
@click.pass_context
def models_list(ctx: click.Context, here: bool, as_json: bool) -> None:
    """List the models that are here, and those that could be.

    Example: ivr models list --here
    """
    from appliance.ops.models import listing as command

    command.print_models(settings_of(ctx), here_only=here, as_json=as_json)


@models.command("pull")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FOLDER|ARCHIVE",
    help="What was brought here, instead of the internet.",
)
@click.option("--again", is_flag=True, help="Even if it is here.")
@JSON
@click.pass_context
def models_pull(
    ctx: click.Context, names: tuple[str, ...], source: Path | None, again: bool, as_json: bool
) -> None:
    """Fetch the models NAMES; say it again after a break, and it goes on there.

    HF_ENDPOINT names another hub, HF_TOKEN an account of it.

    Example: ivr models pull indicwhisper-hi indic-tts-hi
    """
    from appliance.ops.models import pull as command

    command.pull(settings_of(ctx), names, source=source, again=again, as_json=as_json)


@models.command("convert")
@click.argument("model", metavar="NAME|FOLDER")
@click.option("--name", default="", help="What it is called here; default: as the original.")
@click.option(
    "--python", default="", metavar="PATH", help="Of the environment with torch and transformers."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="Where it will run: float16 for a GPU, int8 for a CPU.",
)
@click.option(
    "--quantization",
    type=click.Choice(["float16", "bfloat16", "int8", "int8_float16", "float32"]),
    help="Instead of what suits the device.",
)
@click.option("--again", is_flag=True, help="Even if it is converted.")
@JSON
@click.pass_context
def models_convert(ctx: click.Context, /, quantization: str | None, **options: Any) -> None:
    """Make a Whisper as it was published one that faster-whisper loads, and prove that it does.

    \b
    Example: ivr models convert indicwhisper-hi --python /opt/ivr/convert/bin/python
    """
    from appliance.ops.models import convert as command

    command.convert(settings_of(ctx), quantization=quantization or "", **options)


@models.command("verify")
@click.argument("names", nargs=-1)
@click.option("--files-only", is_flag=True, help="Only the checksums: start no engine.")
@click.option("--languages", default="", metavar="LIST", help="Speak only these: hi,mr.")
@click.option(
    "--python", default="", metavar="PATH", help="Of the engine's environment; default: settings."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="Where the engine computes.",
)
@JSON
@click.pass_context
def models_verify(
    ctx: click.Context,
    names: tuple[str, ...],
    files_only: bool,
    languages: str,
    python: str,
    device: str,
    as_json: bool,
) -> None:
    """Check the files of NAMES (all that are here), then serve each and have it hear, speak, write.

    Status 1 when one fails.

    Example: ivr models verify indicwhisper-hi
    """
    from appliance.ops.models import verify as command

    good = command.verify(
        settings_of(ctx),
        names,
        files_only=files_only,
        python=python,
        device=device,
        languages=tuple(name.strip() for name in languages.split(",") if name.strip()),
        as_json=as_json,
    )
    ctx.exit(0 if good else 1)


@models.command("plan")
@click.option(
    "--calls", type=click.IntRange(1, 2000), default=50, show_default=True, help="At once."
)
@click.option("--gpu-gb", type=click.FloatRange(0), default=0, help="Plan for a GPU of so much.")
@click.option("--gpu", type=int, default=0, show_default=True, help="Which of those here.")
@click.option(
    "--languages", default="", metavar="LIST", help="Propose a set for these, not the settings'."
)
@click.option(
    "--tokens",
    type=click.IntRange(64, 131_072),
    default=2048,
    show_default=True,
    help="Of prompt and answer, each request of the language model.",
)
@JSON
@click.pass_context
def models_plan(
    ctx: click.Context,
    calls: int,
    gpu_gb: float,
    gpu: int,
    languages: str,
    tokens: int,
    as_json: bool,
) -> None:
    """Say what fits on this GPU at so many calls, and print the settings for it.

    Status 1 when it does not fit.

    Example: ivr models plan --calls 50 --gpu-gb 80 --languages hi,en
    """
    from appliance.ops.models import plan_view as command
    from appliance.ops.models.plan import Question

    wanted = tuple(name.strip() for name in languages.split(",") if name.strip())
    question = Question(calls, tokens, wanted)
    good = command.show(settings_of(ctx), question, gpu_gb=gpu_gb, gpu_index=gpu, as_json=as_json)
    ctx.exit(0 if good else 1)


@models.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
@click.pass_context
def models_remove(ctx: click.Context, name: str, yes: bool, as_json: bool) -> None:
    """Delete the model NAME from this machine; not one that the settings name.

    Example: ivr models remove indicwhisper-hi
    """
    from appliance.checkpoints.disk import in_words
    from appliance.ops.models import listing as command

    settings = settings_of(ctx)
    here = command.removable(settings, name)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"Nobody is there to be asked. Say so: ivr models remove {name} --yes")
        click.confirm(f"Delete {name}, {in_words(here.size)}, in {here.folder}?", abort=True)
    command.remove(settings, name, as_json=as_json)
