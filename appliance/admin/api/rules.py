"""``/rules``: what agents must not say, and what a person should know of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.api.flags import Finding
from appliance.admin.services import rules
from appliance.admin.services.rules import LONGEST_TRIED_LETTERS, ShownRule
from appliance.admin.services.theirs import LARGEST_ID
from appliance.events import Severity
from appliance.safety.rules import SiteRule

router = APIRouter(prefix="/rules", tags=["rules"])

Reader = Annotated[Actor, needs(Permission.FLAGS_READ)]
Editor = Annotated[Actor, needs(Permission.RULES_EDIT)]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
AgentId = Annotated[str, StringConstraints(max_length=64)]
Language = Annotated[str, StringConstraints(max_length=35)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RuleText(_Body):
    """What a rule looks for, and what becomes of it."""

    kind: Literal["words", "pattern"] = "words"
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
    agent_id: AgentId = ""
    """Empty: for every agent; the operator's people only."""
    language: Language = ""
    side: Literal["agent", "caller", "both"] = "agent"
    category: Annotated[str, StringConstraints(min_length=1, max_length=40)] = "words"
    severity: Severity = "medium"
    action: Literal["stop", "flag"] = "stop"

    def as_rule(self, rule_id: int) -> SiteRule:
        return SiteRule(
            rule_id, self.kind, self.text, self.agent_id, self.language, self.side,
            self.category, self.severity, self.action,
        )  # fmt: skip


class RuleBody(RuleText):
    note: Annotated[str, StringConstraints(max_length=500)] = ""


class Try(_Body):
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TRIED_LETTERS)]
    agent_id: AgentId = ""
    language: Language = ""
    draft: RuleText | None = None
    """A rule that nobody has kept yet, tried with those in force."""


class Rule(BaseModel):
    id: int
    kind: str
    text: str
    agent_id: str
    language: str
    side: str
    category: str
    severity: str
    action: str
    enabled: bool
    note: str
    created_by: str
    updated_at: datetime
    may_change: bool


class BuiltinRule(BaseModel):
    name: str
    kind: str
    language: str
    side: str
    category: str
    severity: str
    action: str
    texts: list[str]


class Tried(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    agent: list[Finding]
    caller: list[Finding]
    suspicious_document: bool


class Enabled(_Body):
    enabled: bool


@router.get("")
async def list_rules(
    console: ConsoleOf, actor: Reader, agent_id: Annotated[str, Query(max_length=64)] = ""
) -> list[Rule]:
    """The site's own rules: those of one agent or of all, and those for every agent."""
    return [_rule(one) for one in await rules.rules(console, actor, agent_id)]


@router.get("/builtin")
async def list_builtin(actor: Reader) -> list[BuiltinRule]:
    """The rules that come with the appliance; they cannot be changed here."""
    return [
        BuiltinRule(
            name=one.rule.name,
            kind=one.kind,
            language=one.rule.language,
            side=one.rule.side,
            category=one.rule.category,
            severity=one.rule.severity,
            action=one.rule.action,
            texts=list(one.texts),
        )
        for one in rules.builtin_rules(actor)
    ]


@router.post("", status_code=201)
async def add_rule(console: ConsoleOf, actor: Editor, body: RuleBody) -> Rule:
    """Add a rule; it is in force within seconds, for live calls too."""
    return _rule(await rules.add(console, actor, body.as_rule(0), body.note))


@router.put("/{rule_id}")
async def edit_rule(console: ConsoleOf, actor: Editor, rule_id: Id, body: RuleBody) -> Rule:
    """Change a rule."""
    return _rule(await rules.edit(console, actor, body.as_rule(rule_id), body.note))


@router.put("/{rule_id}/enabled")
async def enable_rule(console: ConsoleOf, actor: Editor, rule_id: Id, body: Enabled) -> Rule:
    """Put a rule in force, or keep it for later."""
    return _rule(await rules.set_enabled(console, actor, rule_id, body.enabled))


@router.delete("/{rule_id}", status_code=204)
async def remove_rule(console: ConsoleOf, actor: Editor, rule_id: Id) -> None:
    """Remove a rule for good."""
    await rules.remove(console, actor, rule_id)


@router.post("/try")
async def try_words(console: ConsoleOf, actor: Reader, body: Try) -> Tried:
    """What the guard would say to a text, in the agent's mouth, in a caller's and in a document."""
    found = await rules.try_text(
        *(console, actor, body.text),
        agent_id=body.agent_id,
        language=body.language,
        draft=body.draft.as_rule(0) if body.draft else None,
    )
    return Tried.model_validate(found)


def _rule(shown: ShownRule) -> Rule:
    kept = shown.kept
    return Rule(
        id=kept.rule.id,
        kind=kept.rule.kind,
        text=kept.rule.text,
        agent_id=kept.rule.agent_id,
        language=kept.rule.language,
        side=kept.rule.side,
        category=kept.rule.category,
        severity=kept.rule.severity,
        action=kept.rule.action,
        enabled=kept.enabled,
        note=kept.note,
        created_by=kept.created_by,
        updated_at=kept.updated_at,
        may_change=shown.may_change,
    )
