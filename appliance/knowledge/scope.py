"""What of its knowledge an agent answers from."""

from __future__ import annotations

from appliance.events import Agent
from appliance.languages import primary
from appliance.store.passages import Scope


def scope_of(agent: Agent) -> Scope:
    """The version of the base that ``agent`` answers from, as far as its tags and languages go."""
    languages = tuple(dict.fromkeys(primary(code) for code in agent.knowledge_languages))
    return Scope(agent.knowledge, agent.knowledge_version, agent.knowledge_tags, languages)
