"""What every engine server has in common."""

from __future__ import annotations

import logging

import pytest

from appliance.models.http import tell_if_open


@pytest.mark.parametrize(
    ("address", "is_open"),
    [("127.0.0.1", False), ("127.0.0.2", False), ("::1", False), ("0.0.0.0", True), ("::", True),
     ("10.0.0.5", True), ("fe80::1%eth0", True)],
)  # fmt: skip
def test_a_server_that_others_reach_says_so(
    address: str, is_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert tell_if_open(address, 7101) is is_open
    told = [record.getMessage() for record in caplog.records]
    assert [f"{address}:7101" in text and "password" in text for text in told] == [True] * is_open
