"""An attended transfer whose telephones FreeSWITCH does not ring comes to an end all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.events import Agent
from appliance.settings import Settings
from appliance.telephony.destinations import Attempt, DialPlan
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.handover import Handover
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.workers import Workers

PLAN = DialPlan((Attempt("user/2001@ivr.internal", 20), Attempt("user/2002@ivr.internal", 20)))


class Slow:
    """An event socket on which nothing is answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def command(self, text: str, timeout_s: float = 3.0) -> str:
        self.asked.append(text)
        raise SwitchError("FreeSWITCH did not answer bgapi in time")


@pytest.mark.parametrize("away", [False, True])
def test_the_agent_gets_the_caller_back_when_nobody_can_be_rung(tmp_path: Path, away: bool) -> None:
    freeswitch, slow = FreeSwitch(), Slow()
    nobody: list[str] = []
    if not away:
        freeswitch.attach(slow)  # type: ignore[arg-type]
    ports = PlaybackPorts("127.0.0.1", 24000, 10)
    office = Office(
        Settings(data_dir=tmp_path), freeswitch, Workers(()), ports, Notices(tmp_path, ()), "secret"
    )
    handover = Handover(
        "11111111-2222", PLAN, Agent("sunrise", 1, "Sunrise"), office, lambda person: None,
        nobody.append, lambda seconds, work: None, lambda job, result: None,
    )  # fmt: skip
    if away:  # who looks at all calls again when it is back gives it up
        with pytest.raises(SwitchError):
            handover.begin("")
        assert nobody == []
    else:
        handover.begin("")
        assert nobody == ["NORMAL_TEMPORARY_FAILURE"]
        assert ["user/2001@" in slow.asked[0], "user/2002@" in slow.asked[1]] == [True, True]
    ports.close()
