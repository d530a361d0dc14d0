"""What fits on a GPU at N calls: the servers of the settings, or a set proposed for languages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from appliance.checkpoints.catalogue import Catalogue, Entry, load_catalogue
from appliance.checkpoints.disk import in_words
from appliance.checkpoints.forms import LOADED_BY, config_of
from appliance.checkpoints.gpu import Gpu
from appliance.checkpoints.manifest import folder_of
from appliance.checkpoints.memory import Footprint, footprint, kv_bytes_per_token
from appliance.checkpoints.presence import runs
from appliance.errors import UserError
from appliance.settings import LlmServers, Run, Settings

SHARES = {"stt": 0.4, "tts": 0.25, "llm": 0.25}
"""Of the calls that use a stage in one moment, on average: a caller speaks for some 40 % of a call; a
reply, the speculative ones with it, is written and synthesised in less than a quarter."""
ON_CPU = frozenset({"onnx"})
"""Engines that take no GPU."""
SIGMAS = 2.33
"""The 99 % quantile of a normal distribution, for how many of N calls do so by chance."""
CAPACITIES = {"faster-whisper": 48, "wav2vec2": 48, "coqui": 64}
"""Calls (STT) or phrases (TTS) that one server takes on a GPU, where the settings say nothing."""
BATCHES = {"faster-whisper": 16, "wav2vec2": 32}
"""Windows in one batch: more of them wait, and take no memory."""
HEADROOM = 0.1
"""Of the GPU, left free: what is reckoned here was not measured there."""
LARGEST_SHARE = 0.92
"""vLLM's own default of what it takes of a GPU: the driver keeps the rest."""
DEFAULT_LLM, SMALL_LLM = "qwen2.5-7b-instruct", "qwen2.5-1.5b-instruct"
MOST_CALLS = 2000
STT, TTS, LLM, FALLBACK = "engines.stt", "engines.tts", "engines.llm", "engines.llm.fallback"


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned for."""

    calls: int
    tokens: int
    """Prompt and answer of one request of the language model."""
    languages: tuple[str, ...] = ()
    """Propose a set for these; empty: take what the settings run."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One kind of server that is planned."""

    section: str
    """The setting that it stands in: ``engines.stt``."""
    run: Run
    model_len: int = 0
    """Longest prompt and answer that a language model's server takes, in tokens."""
    gpu_share: float = 0.0
    """What the settings give that server; 0: what it needs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of server of the plan; sizes in bytes."""

    section: str
    run: Run
    """As it should be: with so many servers as are needed."""
    at_once: int
    """Requests of one server in one moment."""
    footprint: Footprint
    needs: int
    """By all of its servers."""
    takes: int
    """The same, but for vLLM, which takes its share of the GPU whatever it needs."""
    gpu_share: float
    """vLLM's; else 0."""
    trouble: str = ""
    """What to change; empty: nothing."""


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """What is asked of one GPU, and whether it fits."""

    gpu: Gpu
    question: Question
    rows: tuple[Row, ...]
    remedies: tuple[str, ...] = ()
    """What to change where it does not fit."""

    @property
    def takes(self) -> int:
        """Bytes, of all rows."""
        return sum(row.takes for row in self.rows)

    @property
    def headroom(self) -> int:
        """Bytes that stay free."""
        return int(self.gpu.total * HEADROOM)

    @property
    def fits(self) -> bool:
        """Whether all of it has room, with the headroom."""
        return self.takes + self.headroom <= self.gpu.total

    @property
    def good(self) -> bool:
        """Whether it fits, and nothing in the settings has to change."""
        return self.fits and not any(row.trouble for row in self.rows)


def at_once(calls: int, share: float) -> int:
    """How many of ``calls`` use a stage in one moment, 99 times of 100 (binomial, normal)."""
    mean = calls * share
    return min(calls, math.ceil(mean + SIGMAS * math.sqrt(mean * (1 - share))))


def make_plan(settings: Settings, gpu: Gpu, question: Question) -> GpuPlan:
    """The plan for one GPU. Raises UserError: nothing to plan, a model of unknown shape."""
    catalogue = load_catalogue(settings)
    if question.languages:
        wanted = _proposed(catalogue, question.languages)
    else:
        wanted = _of_settings(settings)
    plan = _planned(settings, catalogue, gpu, question, wanted)
    if plan.fits:
        return plan
    return replace(plan, remedies=tuple(_remedies(settings, catalogue, plan, wanted)))


def _planned(
    settings: Settings, catalogue: Catalogue, gpu: Gpu, question: Question, wanted: list[Wanted]
) -> GpuPlan:
    rows = (_row(settings, catalogue, gpu, question, each) for each in wanted)
    return GpuPlan(gpu, question, tuple(rows))


def _of_settings(settings: Settings) -> list[Wanted]:
    found = []
    for setting, run in runs(settings):
        section = setting.removesuffix(".run")
        if (
            run.engine not in LOADED_BY
            or run.engine in ON_CPU
            or run.device == "cpu"
            or not run.model
        ):
            continue
        servers = {LLM: settings.engines.llm, FALLBACK: settings.engines.llm.fallback}.get(section)
        if isinstance(servers, LlmServers):
            found.append(Wanted(section, run, servers.max_model_len, servers.gpu_share))
        else:
            found.append(Wanted(section, run))
    if not found:
        raise UserError(
            "The settings run nothing on a GPU. Ask for languages (ivr models plan --languages"
            " hi,en), or name engines in engines.stt.run, engines.tts.run and engines.llm.run."
        )
    return found


def _proposed(catalogue: Catalogue, languages: Sequence[str]) -> list[Wanted]:
    """The best that the catalogue has for each language; a language model, and a small one."""
    ears: dict[str, list[str]] = {}
    tongues: dict[str, list[str]] = {}
    for language in languages:
        ears.setdefault(_ear(catalogue, language).name, []).append(language)
        voice = catalogue.get(f"indic-tts-{language}")
        if voice is None:
            raise UserError(f"No voice of {language} for a GPU is known. See: ivr models list")
        tongues.setdefault(voice.name, []).append(language)
    found = []
    for section, names in ((STT, ears), (TTS, tongues)):
        for name, spoken in names.items():
            engine = catalogue.find(name).engine
            run = Run(engine=engine, model=name, device="cuda", languages=tuple(spoken))
            found.append(Wanted(section, run))
    length = LlmServers().max_model_len
    for section, name in ((LLM, DEFAULT_LLM), (FALLBACK, SMALL_LLM)):
        found.append(Wanted(section, Run(engine="vllm", model=name, device="cuda"), length))
    return found


def _ear(catalogue: Catalogue, language: str) -> Entry:
    """IndicWhisper, else Wav2Vec2 (of words on Indian telephones 27 % against 42 % wrong, Vistaar)."""
    for name in (f"indicwhisper-{language}", f"indicwav2vec-{language}"):
        if entry := catalogue.get(name):
            return entry
    return catalogue.find("whisper-large-v3-turbo")


def _row(
    settings: Settings, catalogue: Catalogue, gpu: Gpu, question: Question, wanted: Wanted
) -> Row:
    run = wanted.run
    stage = wanted.section.split(".")[1]
    together = at_once(question.calls, SHARES[stage])
    size = _footprint(settings, catalogue, run, question.tokens)
    if stage == "llm":
        return _llm_row(settings, catalogue, gpu, wanted, size, together)
    capacity = run.capacity or CAPACITIES[run.engine]
    load = question.calls if stage == "stt" else together
    needed = max(1, math.ceil(load / capacity))
    servers = max(needed, run.most)
    each = min(math.ceil(together / servers), BATCHES.get(run.engine, together))
    takes = servers * size.of(each)
    trouble = "" if run.most >= needed or question.languages else f"most = {needed} is needed"
    run = run.model_copy(update={"most": servers})
    return Row(wanted.section, run, each, size, takes, takes, 0.0, trouble)


def _llm_row(
    settings: Settings,
    catalogue: Catalogue,
    gpu: Gpu,
    wanted: Wanted,
    size: Footprint,
    together: int,
) -> Row:
    """One server of vLLM: it takes its share at the start, so the share must be enough."""
    servers = wanted.run.most
    each = math.ceil(together / servers)
    longest = wanted.model_len * kv_bytes_per_token(_config(settings, catalogue, wanted.run))
    needs = size.of(0) + max(each * size.each, longest)
    share_needed = math.ceil(needs / gpu.total * 100) / 100
    share = wanted.gpu_share or share_needed
    trouble = ""
    if share_needed > LARGEST_SHARE:
        trouble = f"it needs {in_words(needs)}: a smaller model"
    elif share < share_needed:
        trouble = f"gpu_share = {share_needed:.2f} is needed"
        share = share_needed
    takes = max(int(share * gpu.total), needs)
    return Row(
        wanted.section, wanted.run, each, size, servers * needs, servers * takes, share, trouble
    )


def _footprint(settings: Settings, catalogue: Catalogue, run: Run, tokens: int) -> Footprint:
    try:
        return footprint(
            catalogue.get(run.model),
            _config(settings, catalogue, run),
            engine=run.engine,
            compute_type=run.compute_type,
            tokens=tokens,
        )
    except (KeyError, ValueError, TypeError) as e:
        raise UserError(
            f"The shape of {run.model} is not known ({e} is missing). Fetch it first: ivr models"
            f" pull {run.model}; or give its shape in {settings.models_dir / 'catalogue.toml'}."
        ) from e


def _config(settings: Settings, catalogue: Catalogue, run: Run) -> Mapping[str, Any]:
    """The checkpoint's own config.json where it is here, else what the catalogue says of it."""
    entry = catalogue.get(run.model)
    shape = dict(entry.shape) if entry else {}
    try:
        folder = folder_of(settings, run.model)
    except UserError:
        return shape
    config = config_of(folder, "original_config.json") or config_of(folder) or {}
    text = config.get("text_config")  # of models that also see
    return shape | config | (text if isinstance(text, dict) else {})


def _remedies(
    settings: Settings, catalogue: Catalogue, plan: GpuPlan, wanted: list[Wanted]
) -> list[str]:
    """What would make it fit, what helps most first."""
    over = plan.takes + plan.headroom - plan.gpu.total
    found = [f"{in_words(over)} too much."]
    most = _most_calls(settings, catalogue, plan, wanted)
    if most:
        found.append(f"{most} calls fit on this GPU.")
    for row in sorted(plan.rows, key=lambda row: -row.takes):
        if row.section == FALLBACK:
            found.append(f"Without {row.section} ({row.run.model}): {in_words(row.takes)} less.")
        elif row.section == LLM and row.run.model != SMALL_LLM:
            found.append(
                f"{row.run.model} on a GPU of its own, or a smaller one such as {SMALL_LLM}:"
                f" up to {in_words(row.takes)} less."
            )
        elif row.section == STT and row.run.compute_type in ("", "float16"):
            saved = row.run.most * row.footprint.weights // 2
            found.append(
                f'{row.run.model} with compute_type = "int8_float16": {in_words(saved)} less.'
            )
    return found


def _most_calls(
    settings: Settings, catalogue: Catalogue, plan: GpuPlan, wanted: list[Wanted]
) -> int:
    """The most calls that fit: what is taken never falls with the calls (bisection)."""
    low, high = 0, min(plan.question.calls, MOST_CALLS)
    while low < high:
        middle = (low + high + 1) // 2
        question = replace(plan.question, calls=middle)
        if _planned(settings, catalogue, plan.gpu, question, wanted).fits:
            low = middle
        else:
            high = middle - 1
    return low
