"""``/answers``: what an agent answers common questions with, made in advance."""

from __future__ import annotations

from appliance.access.roles import Permission
from appliance.admin.ui.knowledge.commonpanel import CommonPanel
from appliance.admin.ui.knowledge.ofagent import of_agent
from appliance.admin.ui.page import View, page


@page("/answers", Permission.FLAGS_READ, "Common answers", nav="/knowledge")
async def answers(view: View, agent: str = "") -> None:
    """``agent``: whose; the first one's, if it is left out."""
    await of_agent(view, "/answers", "Common answers", agent, CommonPanel)
