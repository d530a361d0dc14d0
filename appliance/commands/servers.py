"""``ivr stt``, ``tts``, ``turn``, ``embed``, ``rerank``: engine servers; ``ivr emulate``: stand-ins.

Each imports only what its process needs, so that a GPL or a heavy package never reaches another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.commands.common import start
from appliance.errors import UserError

if TYPE_CHECKING:
    from appliance.models.engine import ModelOptions

Command = Callable[..., None]


def _model_options(command: Command) -> Command:
    """Which checkpoint, where it computes, and how much of it is offered."""
    for option in reversed(
        (
            click.option(
                "--model", default="", metavar="NAME|FOLDER", help="As `ivr models list` has it."
            ),
            click.option(
                "--device",
                type=click.Choice(["auto", "cuda", "cpu"]),
                default="auto",
                show_default=True,
                help="auto: a GPU if there is one.",
            ),
            click.option(
                "--compute-type",
                default="",
                help="Default: float16 on a GPU, int8 on a CPU; of onnx float32.",
            ),
            click.option(
                "--languages", default="", metavar="LIST", help="Offer only these: hi,mr."
            ),
            click.option("--capacity", type=int, default=0, help="At once; 0: the engine's own."),
            click.option("--host", default="127.0.0.1", show_default=True, help="Listen here."),
        )
    ):
        command = option(command)
    return command


def _options(
    model: str, device: str, compute_type: str, languages: str, capacity: int
) -> ModelOptions:
    from appliance.models.engine import ModelOptions

    offered = tuple(name.strip() for name in languages.split(",") if name.strip())
    return ModelOptions(model, device, compute_type, offered, capacity)


@click.command()
@click.option(
    "--engine",
    type=click.Choice(["pocketsphinx", "faster-whisper", "wav2vec2"]),
    default="pocketsphinx",
    show_default=True,
    help="faster-whisper: (Indic)Whisper; wav2vec2: (Indic)Wav2Vec2 with CTC.",
)
@_model_options
@click.option("--port", type=int, default=7101, show_default=True, help="0: a free one.")
@click.pass_context
def stt(ctx: click.Context, /, engine: str, host: str, port: int, **model: Any) -> None:
    """Serve speech recognition to the workers.

    pocketsphinx knows only the words of the agents' knowledge: for demos and tests. For real
    callers: faster-whisper, wav2vec2.

    \b
    Example: ivr stt --engine faster-whisper --model large-v3-turbo --host 192.168.1.10
    """
    from appliance.models import stt_server as process

    process.run(start(ctx, "stt"), engine, host, port, _options(**model))


@click.command()
@click.option(
    "--engine",
    type=click.Choice(["flite", "espeak", "coqui"]),
    default="flite",
    show_default=True,
    help="flite: English; espeak: Indian languages too; coqui: AI4Bharat's voices.",
)
@_model_options
@click.option("--port", type=int, default=7201, show_default=True, help="0: a free one.")
@click.pass_context
def tts(ctx: click.Context, /, engine: str, host: str, port: int, **model: Any) -> None:
    """Serve speech synthesis to the workers.

    Example: ivr tts --engine coqui --model indic-tts-hi --port 7202
    """
    from appliance.models import tts_server as process

    process.run(start(ctx, "tts"), engine, host, port, _options(**model))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=7301, show_default=True, help="0: a free one.")
@click.pass_context
def turn(ctx: click.Context, host: str, port: int) -> None:
    """Serve the semantic end-of-turn model (Smart Turn).

    Example: ivr turn --port 7301
    """
    from appliance.models import turn_server as process

    process.run(start(ctx, "turn"), host, port)


@click.command()
@click.option(
    "--engine",
    type=click.Choice(["minilm", "onnx"]),
    default="minilm",
    show_default=True,
    help="minilm: English, built in; onnx: a sentence encoder of --model.",
)
@_model_options
@click.option("--port", type=int, default=7401, show_default=True, help="0: a free one.")
@click.pass_context
def embed(ctx: click.Context, /, engine: str, host: str, port: int, **model: Any) -> None:
    """Serve text embeddings for knowledge search.

    \b
    Example: ivr embed --engine onnx --model multilingual-e5-small --compute-type int8
    """
    from appliance.models import embed_server as process

    process.run(start(ctx, "embed"), engine, host, port, _options(**model))


@click.command()
@click.option(
    "--engine",
    type=click.Choice(["onnx"]),
    default="onnx",
    show_default=True,
    help="A cross-encoder of --model on onnxruntime.",
)
@_model_options
@click.option("--port", type=int, default=7451, show_default=True, help="0: a free one.")
@click.pass_context
def rerank(ctx: click.Context, /, engine: str, host: str, port: int, **model: Any) -> None:
    """Serve a cross-encoder that puts what a search has found in order.

    \b
    Example: ivr rerank --model mmarco-minilm-l12 --compute-type int8
    """
    from appliance.models import rerank_server as process

    process.run(start(ctx, "rerank"), host, port, _options(**model))


@click.command()
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
    help="What the callers say (python -m appliance.rehearsal.script makes one).",
)
@click.option(
    "--slots", default="", metavar="LIST", help="What a stage works on at once: tts=4,llm=8."
)
@click.pass_context
def emulate(ctx: click.Context, stage: str, port: int, script: Path, slots: str) -> None:
    """Serve emulated engines with declared latencies, for rehearsals.

    Prints their addresses as one line of JSON. They ask for engines.key where it is set.

    \b
    Example: ivr emulate --stage stt,llm --port 7501 --script bench/out/script/script.json
    """
    from appliance.engines import emulated as process

    settings = start(ctx, "emulate")
    process.run(stage.split(","), port, script, _slots(slots), settings.engines.key)


def _slots(text: str) -> dict[str, int]:
    """``tts=4,llm=8``. Raises UserError."""
    found = {}
    for part in filter(None, text.split(",")):
        stage, _, number = part.partition("=")
        if not number.isdigit() or int(number) < 1:
            raise UserError(f"--slots {part!r} should be a stage and a number, like tts=4.")
        found[stage.strip()] = int(number)
    return found
