"""The engine servers of the settings: what each carries, and what is under way there now."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson

from appliance import direct
from appliance.capacity.plan import Pool
from appliance.capacity.services import Service
from appliance.engines.key import KeyFor, headers_of, key_for
from appliance.settings import Settings, Stage
from appliance.urls import http_of

HEALTH_TIMEOUT_S = 1.0
HEALTH_BYTES = 64 << 10
OK_STATUS = 200
ASKED_AT_ONCE = 16
MOST_ASKED = 256
"""Servers of one machine; more is a mistake in the settings."""
ENGINE_SLOTS = {
    "pocketsphinx": 16, "flite": 50, "espeak": 50, "smart-turn": 16, "minilm": 256,
    "emulated": 1000,
}  # fmt: skip
"""What servers of these engines say of themselves, for those that do not run."""
STAGE_SLOTS = {"stt": 16, "tts": 8, "turn": 16, "embed": 64, "rerank": 8, "llm": 64}
"""Of any other engine, the cautious side of what a GPU carries."""


@dataclass(frozen=True, slots=True)
class Live:
    """A server that answers."""

    stage: str
    url: str
    engine: str = ""
    in_flight: int = 0
    capacity: int = 0
    """0: it does not say (vLLM)."""


def ask(settings: Settings) -> list[Live]:
    """Every server of the settings that answers its ``/health`` now, within a second or so."""
    stages = settings.engines.stages()
    places = [
        (name, url, key)
        for name, stage in stages.items()
        for key in (key_for(settings, stage, make=False),)
        for url in stage.addresses()
    ]
    del places[MOST_ASKED:]
    if not places:
        return []
    with ThreadPoolExecutor(min(ASKED_AT_ONCE, len(places))) as threads:
        found = threads.map(lambda place: _ask(*place), places)
        return [live for live in found if live is not None]


def _ask(stage: str, url: str, key: KeyFor) -> Live | None:
    try:
        answer = direct.get(
            http_of(url) + "/health", headers=headers_of(key(url)),
            timeout_s=HEALTH_TIMEOUT_S, most_bytes=HEALTH_BYTES,
        )  # fmt: skip
    except OSError:
        return None
    if answer.status != OK_STATUS:
        return None
    try:
        said = orjson.loads(answer.body)
        return Live(
            stage, url, str(said.get("engine", "")), int(said["in_flight"]), int(said["capacity"])
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        return Live(stage, url)  # it is up, and that is all it says


def pools(
    settings: Settings,
    needs: Mapping[str, Service],
    live: list[Live],
    warm_up_s: Mapping[str, float],
) -> dict[str, Pool]:
    """What the plan sizes, by stage; a stage without a server in the settings is left out."""
    found = {}
    for name, stage in settings.engines.stages().items():
        if not stage.is_served:
            continue
        found[name] = Pool(
            stage=name,
            use=needs[name].use,
            erlang_per_call=needs[name].erlang_per_call,
            capacity=_capacity(settings, name, stage, live),
            least=sum(run.least for run in stage.run),
            most=sum(run.most for run in stage.run),
            warm_up_s=warm_up_s.get(name, settings.capacity.warm_up_s.get(name, 0.0)),
            fixed=len(stage.urls),
        )
    return found


def _capacity(settings: Settings, name: str, stage: Stage, live: list[Live]) -> int:
    """Slots of one server: what those that run say, else the settings, else the engine's figure.
    Of several kinds the smallest, for nobody knows which of them a call will need."""
    said = [one.capacity for one in live if one.stage == name and one.capacity]
    known = said + [run.capacity for run in stage.run if run.capacity]
    if name == "llm" and not known:
        return settings.engines.llm.max_num_seqs
    if not known:
        known = [ENGINE_SLOTS.get(run.engine, STAGE_SLOTS[name]) for run in stage.run]
    return min(known, default=STAGE_SLOTS[name])
