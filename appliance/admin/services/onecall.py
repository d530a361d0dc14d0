"""The call that a request names, if it is one of the actor's tenant: else there is no such call."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access.actor import Actor, NotFoundError
from appliance.store.call_log import LoggedCall, find_call

NO_SUCH_CALL = "There is no such call."


async def found_call(connection: AsyncConnection, actor: Actor, call_id: str) -> LoggedCall:
    """The call of that whole id. Raises NotFoundError."""
    logged = None
    if call_id and "\0" not in call_id:
        logged = await find_call(connection, call_id, actor.tenant)
    if logged is None:
        raise NotFoundError(NO_SUCH_CALL)
    return logged
