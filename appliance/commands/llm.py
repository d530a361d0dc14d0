"""``ivr llm``: a server of the language model, by vLLM."""

from __future__ import annotations

import click

from appliance.commands.common import start


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--fallback", is_flag=True, help="The smaller model: [engines.llm.fallback].")
@click.option(
    "--model", default="", metavar="NAME|FOLDER", help="Instead of the first of engines.llm.run."
)
@click.option("--python", default="", metavar="FILE", help="Interpreter that has vLLM.")
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", help="Where.")
@click.option("--compute-type", default="", help="float16, bfloat16, …; empty: the model's own.")
@click.option(
    "--languages", default="", metavar="LIST", help="Ignored: a language model has what it has."
)
@click.option("--capacity", type=click.IntRange(min=0), default=0, help="Requests at once.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Of settings by default; 0: a free one."
)
@click.option("--print", "only_print", is_flag=True, help="Print the line and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --print: one JSON object.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def llm(
    ctx: click.Context,
    fallback: bool,
    model: str,
    python: str,
    device: str,
    compute_type: str,
    languages: str,
    capacity: int,
    host: str,
    port: int | None,
    only_print: bool,
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    """Serve the language model: print the exact line of vLLM's server, and run it.

    Length, memory share and the key are settings: [engines.llm]. OPTIONS that are not ours go to
    vLLM as they are.

    Example: ivr llm --print
    """
    from appliance.ops import llm as process

    choice = process.Choice(
        fallback=fallback,
        model=model,
        python=python,
        device="" if device == "auto" else device,
        compute_type=compute_type,
        capacity=capacity,
        host=host,
        port=port,
        options=options,
    )
    settings = start(ctx, "llm")
    if only_print or as_json:
        found = process.launch(settings, choice)
        click.echo(found.as_json() if as_json else found.line())
    else:
        process.run(settings, choice)
