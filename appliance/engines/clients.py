"""The clients of the engine servers that the settings name: for a worker, for jobs, for a command."""

from __future__ import annotations

from functools import cached_property

import aiohttp

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.guard_model import GuardModel
from appliance.engines.key import key_for
from appliance.engines.llm_failover import FailoverWriter
from appliance.engines.pool import Pool
from appliance.engines.reranker import HttpReranker
from appliance.engines.roster import Roster
from appliance.engines.writer import OpenAiWriter
from appliance.settings import Settings, Stage


class Clients:
    """Makes each client once, with the pool of servers behind it."""

    def __init__(
        self, settings: Settings, http: aiohttp.ClientSession, patience_ms: int = 0
    ) -> None:
        """``patience_ms``: the least that embedder and reranker are waited for, where nobody is on
        the line; 0: as the settings say."""
        self._settings = settings
        self._engines = settings.engines
        self._http = http
        self._patience_ms = patience_ms
        self.pools: list[Pool] = []

    def pool(self, stage: str, section: Stage) -> Pool:
        """The servers of a stage."""
        made = Pool(stage, section.addresses(), self._http, key_for(self._settings, section))
        self.pools.append(made)
        return made

    @cached_property
    def embed_pool(self) -> Pool:
        """The embedding servers."""
        return self.pool("embed", self._engines.embed)

    @cached_property
    def embedder(self) -> HttpEmbedder:
        """Vectors of questions."""
        timeout_ms = max(self._engines.embed.timeout_ms, self._patience_ms)
        return HttpEmbedder(self.embed_pool, self._http, timeout_ms)

    @cached_property
    def reranker(self) -> HttpReranker | None:
        """None: the settings name no server."""
        stage = self._engines.rerank
        if not stage.addresses():
            return None
        timeout_ms = max(stage.timeout_ms, self._patience_ms)
        return HttpReranker(self.pool("rerank", stage), self._http, timeout_ms, stage.model)

    @cached_property
    def models(self) -> list[OpenAiWriter]:
        """The language model, and the smaller one behind it, as far as there are any."""
        llm, listed = self._engines.llm, self._engines.roster_url
        found: list[OpenAiWriter] = []
        if llm.addresses() or listed:
            found.append(OpenAiWriter(self.pool("llm", llm), self._http, llm))
        small = llm.fallback
        if found and (small.addresses() or (listed and small.model)):
            pool = self.pool("llm.fallback", small)
            found.append(OpenAiWriter(pool, self._http, llm, small))
        return found

    @cached_property
    def writer(self) -> OpenAiWriter | FailoverWriter | None:
        """What writes answers: the first model that does."""
        if len(self.models) > 1:
            return FailoverWriter(*self.models)
        return self.models[0] if self.models else None

    @cached_property
    def guard_model(self) -> GuardModel | None:
        """None: phrases are judged by rules alone. Raises UserError for a pattern that is none."""
        guard = self._settings.guard
        return GuardModel(self._http, guard) if guard.url else None

    def roster(self) -> Roster | None:
        """What tells all these pools of servers that come and go; None without ``roster_url``."""
        url = self._engines.roster_url
        return Roster(url, self.pools, self._http) if url else None

    async def find_servers(self) -> None:
        """See once which servers of the clients made so far are there; a worker looks all the time."""
        if (roster := self.roster()) is not None:
            await roster.ask()
        for pool in self.pools:
            await pool.check()
