"""``ivr doctor`` beside the real FreeSWITCH: its event socket, and the appliance's call to itself."""

from __future__ import annotations

import asyncio

from appliance.ops.doctor.box import open_box
from appliance.ops.doctor.check import State
from appliance.ops.doctor.selfcall.command import verdict
from appliance.ops.doctor.selfcall.question import Asked
from appliance.ops.doctor.selfcall.ringing import ring
from appliance.ops.doctor.selfcall.targets import FREESWITCH, targets
from appliance.rehearsal.questions import of_sound
from appliance.store.phonebook import Trunk
from tests.doctor_kit import look
from tests.switch_place import (
    DID,
    THROUGH_FREESWITCH,
    Place,
    agents,
    environment,
    hours,
    place,
    script,
    site,
)

FIXTURES = (agents, environment, script, hours, place, site)
pytestmark = THROUGH_FREESWITCH
QUESTION = "What are your opening hours on Saturday?"


async def test_freeswitch_is_looked_at(site: Place) -> None:
    for code in ("switch", "event-socket", "exposure", "ports"):
        found = await look(site[0].settings, code)
        bad = [one.told for one in found if one.state is State.BAD]
        assert bad == [] or code == "switch", (code, bad)  # the carrier's trunk may be down
    (found,) = await look(site[0].settings, "event-socket")
    assert found.state is State.GOOD and "FreeSWITCH" in found.told


async def test_it_rings_itself_through_freeswitch(site: Place, hours: bytes) -> None:
    ours, _, _ = site
    asked = Asked(QUESTION, "awb", of_sound({QUESTION: hours}, "recorded"))
    async with open_box(ours.settings) as box:
        (target,) = await targets(box, 10.0, print)
        assert target.through == FREESWITCH
        refused = verdict(await ring(box, target, DID, asked))
        assert refused.state is State.SKIPPED and "ivr trunks add doctor" in refused.do
        doctor = Trunk("doctor", "127.0.0.1:5999", addresses=(f"{target.host}/32",), ping_s=0)
        await asyncio.to_thread(ours.add_trunk, doctor)
        rung = await ring(box, target, DID, asked)
    assert verdict(rung).state is State.GOOD, rung
    assert rung.greeted and rung.word_error == 0.0 and rung.gap_ms is not None
