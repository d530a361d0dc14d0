"""The site's own rules of the guard, in Postgres."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.safety.rules import MOST_PATTERNS, MOST_RULES, SiteRule
from appliance.safety.site_rules import checked
from appliance.store.models import AgentRow
from appliance.store.review_models import GuardRuleRow
from appliance.store.tenancy import of_visible_agent

log = logging.getLogger(__name__)

LONGEST_NOTE_LETTERS = 500
_RULE = (
    GuardRuleRow.id, GuardRuleRow.kind, GuardRuleRow.text, GuardRuleRow.agent_id,
    GuardRuleRow.language, GuardRuleRow.side, GuardRuleRow.category, GuardRuleRow.severity,
    GuardRuleRow.action,
)  # fmt: skip
_STAMP = sql(
    "SELECT coalesce(md5(string_agg(id || '@' || updated_at || enabled, ',' ORDER BY id)), '')"
    " FROM guard_rules"
)


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule, and what else its row says."""

    rule: SiteRule
    enabled: bool
    note: str
    created_by: str
    updated_at: datetime


async def load_rules(engine: AsyncEngine) -> list[SiteRule]:
    """The rules in force. One that somebody wrote into the table by hand and that is none is left
    out, with a line in the log: it must not take the others away."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_in_force())).all()
    rules, patterns = [], 0
    for row in rows:
        rule = _rule(row)
        try:
            rule = checked(rule)
        except UserError as e:
            log.warning("! rule %d is left out: %s", rule.id, e)
            continue
        patterns += rule.kind == "pattern"
        if patterns > MOST_PATTERNS and rule.kind == "pattern":
            log.warning("! rule %d is left out: there are over %d patterns", rule.id, MOST_PATTERNS)
            continue
        rules.append(rule)
    return rules


async def stamp(engine: AsyncEngine) -> str:
    """Changes whenever a rule is added, changed, disabled or removed."""
    async with engine.connect() as connection:
        return str((await connection.execute(_STAMP)).scalar_one())


def list_rules(
    connection: Connection, agent_id: str = "", tenant: str | None = None
) -> list[KeptRule]:
    """All rules, or those that calls of ``agent_id`` are under; those for every agent, and of the
    agents of ``tenant`` (None: of all)."""
    wanted = select(
        *_RULE, GuardRuleRow.enabled, GuardRuleRow.note, GuardRuleRow.created_by,
        GuardRuleRow.updated_at,
    ).order_by(GuardRuleRow.id)  # fmt: skip
    if agent_id:
        wanted = wanted.where(GuardRuleRow.agent_id.in_(("", agent_id)))
    of_tenant = of_visible_agent(GuardRuleRow.agent_id, tenant)
    wanted = wanted.where(or_(GuardRuleRow.agent_id == "", of_tenant))
    return [
        KeptRule(_rule(row), row.enabled, row.note, row.created_by, row.updated_at)
        for row in connection.execute(wanted)
    ]


def get_rule(connection: Connection, rule_id: int, tenant: str | None = None) -> KeptRule:
    """Raises UserError when there is none that ``tenant`` is under."""
    found = [kept for kept in list_rules(connection, "", tenant) if kept.rule.id == rule_id]
    if not found:
        raise UserError(f"There is no rule {rule_id}; `ivr rules list` shows them.")
    return found[0]


def add_rule(connection: Connection, rule: SiteRule, note: str = "", by: str = "") -> int:
    """Keep a rule, whatever its ``id``; its id. Raises UserError when it is none, one too many, or
    there already."""
    rule = _fit(connection, rule, note)
    for kept in list_rules(connection):
        same = (
            kept.rule.kind,
            kept.rule.text,
            kept.rule.agent_id,
            kept.rule.language,
            kept.rule.side,
        )
        if same == (rule.kind, rule.text, rule.agent_id, rule.language, rule.side):
            raise UserError(
                f"Rule {kept.rule.id} is the same; `ivr rules edit {kept.rule.id}` changes it."
            )
    values = _values(rule) | {"note": note, "created_by": by}
    row = connection.execute(insert(GuardRuleRow).values(**values).returning(GuardRuleRow.id))
    return int(row.scalar_one())


def edit_rule(connection: Connection, rule: SiteRule, note: str) -> None:
    """Change the rule of that id. Raises UserError when there is none, or it is none."""
    get_rule(connection, rule.id)
    values = _values(_fit(connection, rule, note)) | {"note": note}
    _change(connection, rule.id, values)


def set_enabled(connection: Connection, rule_id: int, enabled: bool) -> None:
    """Raises UserError when there is no such rule."""
    get_rule(connection, rule_id)
    _change(connection, rule_id, {"enabled": enabled})


def remove_rule(connection: Connection, rule_id: int) -> None:
    """Raises UserError when there is no such rule."""
    get_rule(connection, rule_id)
    connection.execute(delete(GuardRuleRow).where(GuardRuleRow.id == rule_id))


def _change(connection: Connection, rule_id: int, values: dict[str, Any]) -> None:
    connection.execute(
        update(GuardRuleRow)
        .where(GuardRuleRow.id == rule_id)
        .values(**values, updated_at=func.clock_timestamp())
    )


def _fit(connection: Connection, rule: SiteRule, note: str) -> SiteRule:
    rule = checked(rule)
    if len(note) > LONGEST_NOTE_LETTERS:
        raise UserError(f"The note has {len(note)} letters; {LONGEST_NOTE_LETTERS} is the most.")
    if rule.agent_id:
        known = select(AgentRow.id).where(AgentRow.id == rule.agent_id)
        if connection.execute(known).scalar_one_or_none() is None:
            raise UserError(f"There is no agent {rule.agent_id!r}; leave it out for all agents.")
    others = [kept.rule for kept in list_rules(connection) if kept.rule.id != rule.id]
    if len(others) >= MOST_RULES:
        raise UserError(f"There are {len(others)} rules, the most there may be; remove some.")
    patterns = sum(other.kind == "pattern" for other in others)
    if rule.kind == "pattern" and patterns >= MOST_PATTERNS:
        raise UserError(f"There are {patterns} patterns, the most there may be; write words.")
    return rule


def _values(rule: SiteRule) -> dict[str, Any]:
    return {
        "kind": rule.kind, "text": rule.text, "agent_id": rule.agent_id, "language": rule.language,
        "side": rule.side, "category": rule.category, "severity": rule.severity, "action": rule.action,
    }  # fmt: skip


def _in_force() -> Select[*tuple[Any, ...]]:
    return select(*_RULE).where(GuardRuleRow.enabled).order_by(GuardRuleRow.id).limit(MOST_RULES)


def _rule(row: Row[*tuple[Any, ...]]) -> SiteRule:
    return SiteRule(
        row.id, row.kind, row.text, row.agent_id, row.language, row.side, row.category,
        row.severity, row.action,
    )  # fmt: skip
