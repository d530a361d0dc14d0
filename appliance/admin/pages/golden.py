"""``/golden``: the golden questions of an agent."""

from __future__ import annotations

from appliance.access.roles import Permission
from appliance.admin.ui.knowledge.goldenpanel import GoldenPanel
from appliance.admin.ui.knowledge.ofagent import of_agent
from appliance.admin.ui.page import View, page


@page("/golden", Permission.FLAGS_READ, "Golden questions", nav="/knowledge")
async def golden(view: View, agent: str = "") -> None:
    """``agent``: whose; the first one's, if it is left out."""
    await of_agent(view, "/golden", "Golden questions", agent, GoldenPanel)
