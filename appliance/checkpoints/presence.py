"""Is everything there that the settings run? Asked before anything starts, not in a call."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from appliance.checkpoints.forms import LOADED_BY, WORDS, Form, describe, form_of
from appliance.checkpoints.manifest import folder_of
from appliance.errors import UserError
from appliance.settings import Run, Settings, Stage

STRICT = frozenset({Form.CT2, Form.HF_WAV2VEC2, Form.HF_ENCODER})
"""Forms that have no variants: what does not look like them is not them."""


def check(settings: Settings) -> list[str]:
    """What is missing of what ``run`` names, one sentence each with what mends it.

    Every model must resolve to a folder of the form that its engine loads, and every interpreter
    must exist. Looks at names and small files only; ``ivr models verify`` reads the rest.
    """
    found: dict[str, None] = {}  # in order, each once: two entries may name one model
    for stage, run in runs(settings):
        found |= dict.fromkeys(_of_run(settings, stage, run))
    return list(found)


def require(settings: Settings) -> None:
    """Raises UserError with all that :func:`check` finds, a line for each: it ends in a command."""
    if missing := check(settings):
        raise UserError("\n".join(missing))


def runs(settings: Settings) -> Iterator[tuple[str, Run]]:
    """What this machine runs: the setting that says so, and the entry."""
    engines = settings.engines
    stages: dict[str, Stage] = {
        "stt": engines.stt,
        "tts": engines.tts,
        "turn": engines.turn,
        "embed": engines.embed,
        "rerank": engines.rerank,
        "llm": engines.llm,
        "llm.fallback": engines.llm.fallback,
    }
    for stage, section in stages.items():
        for run in section.run:
            yield f"engines.{stage}.run", run


def _of_run(settings: Settings, setting: str, run: Run) -> Iterator[str]:
    if run.python and shutil.which(run.python) is None:
        yield (
            f"{setting}: there is no Python interpreter {run.python}. Make that environment, or"
            " name one that exists."
        )
    wanted = LOADED_BY.get(run.engine)
    if wanted is None:
        return
    if not run.model:
        yield (
            f"{setting}: the engine {run.engine} needs a model. Choose one: ivr models list,"
            ' and name it: model = "…".'
        )
        return
    try:
        folder = folder_of(settings, run.model)
    except UserError as e:
        yield f"{setting}: {e}"
        return
    form = form_of(folder)
    if form is wanted or (form is None and wanted not in STRICT):
        return
    if (form, wanted) == (Form.HF_WHISPER, Form.CT2):
        yield (
            f"{setting}: {folder} is a Whisper of Hugging Face, which faster-whisper cannot load."
            f" Convert it: ivr models convert {run.model}"
        )
    else:
        what = WORDS[form] if form else describe(folder)
        yield f"{setting}: {folder} is {what}, and {run.engine} loads {WORDS[wanted]}. Name another."
