"""The sample: an agent with knowledge that answers every number of an appliance still empty."""

from __future__ import annotations

import asyncio
import logging
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from appliance.engines.base import Embedder
from appliance.errors import EngineError, UserError
from appliance.events import Agent
from appliance.knowledge.backends import Backends, open_backends
from appliance.knowledge.ingest import Loaded, load
from appliance.settings import Settings
from appliance.store.agents import load_assignments, parse_agent, publish_agent, set_number
from appliance.store.models import ANY_DID
from appliance.store.passages import version_of

SAMPLE = "sunrise-broadband"
EMBEDDER_WAIT_S = 30.0
"""The embedding server may still be loading when the appliance starts for the first time."""
EMBEDDER_RETRY_S = 0.25

_log = logging.getLogger(__name__)


def sample_agent(folder: Path) -> Agent:
    """The sample agent as its TOML file says. Raises UserError where the file is wrong."""
    file = folder / f"{SAMPLE}.toml"
    try:
        fields = tomllib.loads(file.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise UserError(f"{file} cannot be read: {e}.") from e
    fields["prompt"] = fields.get("prompt", "").strip()
    return parse_agent({"version": 0} | fields)


async def seed(settings: Settings) -> Agent | None:
    """Publish the sample and let it answer every number; None when some number is answered
    already. Safe to repeat: knowledge that is there is not loaded again.

    Raises UserError: Postgres or the embedding server is away.
    """
    async with open_backends(settings) as backends:
        if await load_assignments(backends.engine):
            return None
        with resources.as_file(resources.files("appliance") / "samples") as folder:
            agent = sample_agent(folder)
            if not await version_of(backends.engine, agent.knowledge):
                await _load_when_up(backends, agent.knowledge, [folder / f"{SAMPLE}.md"])
        published = await publish_agent(backends.engine, agent)
        await set_number(backends.engine, ANY_DID, published.id)
        _log.info("= agent %s answers every number", published.context)
        return published


async def _load_when_up(backends: Backends, name: str, files: Sequence[Path]) -> Loaded:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + EMBEDDER_WAIT_S
    embedder: Embedder = backends.embedder
    while True:
        try:
            return await load(backends.engine, embedder, name, files)
        except EngineError:
            if loop.time() > give_up:
                raise
        await asyncio.sleep(EMBEDDER_RETRY_S)
        await backends.pool.check()
