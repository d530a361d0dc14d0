"""The proxy's sockets against peers who do not behave."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Network

import pytest

from appliance.ops.keeping.ports import free_port
from appliance.telephony import siptransport
from appliance.telephony.calltable import CallTable
from appliance.telephony.proxy import Proxy
from appliance.telephony.siptransport import SipTransport


@pytest.mark.server
async def test_a_message_byte_by_byte_has_no_more_time_than_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(siptransport, "MESSAGE_TIMEOUT_S", 0.4)
    transport, port = SipTransport(lambda data: None), free_port()
    allow = (IPv4Network("127.0.0.0/8"),)
    inner = await transport.open_inner()
    proxy = Proxy("127.0.0.1", port, inner, CallTable(4), allow, time.monotonic)
    await transport.open(proxy, "127.0.0.1", port, ("tcp",))
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - begun < 15:  # as long as bytes come, were each its own time
                writer.write(b"O")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
    finally:
        await transport.close()
