"""Which addresses documents may be read from: the operator's networks and nothing beside them."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.addresses import Address, Network, is_allowed, resolved
from appliance.knowledge.reading.document import RefusedDocumentError, UnreadableDocumentError


async def allowed_address(
    host: str, port: int, networks: Sequence[Network], timeout_s: float
) -> Address:
    """The address of ``host`` to connect to.

    Raises RefusedDocumentError when it has none inside ``networks``, UnreadableDocumentError when its
    name is not known now.
    """
    try:
        found = await resolved(host, port, timeout_s)
    except (OSError, UnicodeError, TimeoutError) as e:
        raise UnreadableDocumentError(
            f"The name {host} is not known now; check it, and this machine's DNS."
        ) from e
    for address in found:
        if is_allowed(address, networks):
            return address
    if not networks:
        raise RefusedDocumentError(
            "Documents are read from no address; name your networks in knowledge.networks."
        )
    raise RefusedDocumentError(
        f"{host} is at {found[0]}, outside of knowledge.networks; add its network if it is yours."
    )
