"""What ``ivr sip`` tells of those whom it does not answer."""

from __future__ import annotations

from appliance.metrics.exposition import Sink
from appliance.telephony.calltable import CallTable
from appliance.telephony.siptelling import DROPPED, SipCounts, SipParts, put_sip
from tests.metrics_kit import parsed


def test_floods_and_scanners_are_told_apart() -> None:
    counts = SipCounts()
    for number, why in enumerate(DROPPED, 1):
        counts.dropped[why] = number
    sink = Sink()
    put_sip(sink, SipParts(counts, CallTable(4), [], 4, 2), None)
    found = parsed(sink.text())
    told = {why: found.value("ivr_sip_dropped_total", why=why) for why in DROPPED}
    assert told == {"network": 1, "malformed": 2, "flood": 3, "scanner": 4}
