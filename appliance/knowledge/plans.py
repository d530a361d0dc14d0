"""How each scope is to be searched, asked of Postgres once."""

from __future__ import annotations

from collections import OrderedDict

from appliance.store.finding import Plan, plan_of
from appliance.store.lanes import Driver
from appliance.store.passages import Scope

MOST_KEPT = 256
"""The one longest unused goes first."""


class Plans:
    """Plans of the scopes in use. A version's content never changes, so a plan stays true."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Scope, Plan] = OrderedDict()

    async def of(self, connection: Driver, scope: Scope) -> Plan | None:
        """The plan of ``scope``; None when there is no such version (yet)."""
        plan = self._kept.get(scope)
        if plan is not None:
            self._kept.move_to_end(scope)
            return plan
        plan = await plan_of(connection, scope)
        if plan is not None:
            self._kept[scope] = plan
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return plan
