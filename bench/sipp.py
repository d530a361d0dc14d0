"""sipp (Debian: sip-tester) as an independent SIP peer: are all calls set up and torn down?"""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.audio import ulaw_encode
from appliance.engines.emulated_script import Script
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.rehearsal.sip_message import address_of

SCENARIO = Path(__file__).resolve().parent / "sipp_uac.xml"
CALLS_PER_S = 5
_RTP_PORTS = 2
"""sipp takes an even port and the one after it for each call."""


@dataclass(frozen=True, slots=True)
class SippCount:
    """What sipp counted."""

    ok: int
    failed: int
    set_up_ms: int
    """Mean of INVITE to 200."""


def call(target: str, calls: int, hold_s: float, script: Script, folder: Path) -> SippCount:
    """Let sipp place ``calls`` calls at once to the SIP URI ``target``, each ``hold_s`` long.

    It sends the script's first recording over and over. Raises UserError: no sipp, or it broke.
    """
    speech = folder / "speech.ulaw"
    speech.write_bytes(ulaw_encode(script.utterances[0].pcm(8000)))
    scenario = folder / "uac.xml"
    scenario.write_text(SCENARIO.read_text().replace("SPEECH_FILE", str(speech)))
    statistics = folder / "sipp.csv"
    statistics.unlink(missing_ok=True)
    host, port = address_of(target)
    user = target.removeprefix("sip:").split("@")[0]
    command = ["sipp", f"{host}:{port}", "-sf", str(scenario), "-s", user, "-i", "127.0.0.1"]
    command += ["-p", str(free_port()), "-mp", str(_even_port()), "-m", str(calls)]
    command += ["-l", str(calls), "-r", str(CALLS_PER_S), "-d", str(round(hold_s * 1000))]
    command += ["-trace_stat", "-stf", str(statistics), "-fd", "1", "-timeout", "120"]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=hold_s + calls / CALLS_PER_S + 60,
            cwd=folder,
        )
    except FileNotFoundError as e:
        raise UserError("sipp is not installed: apt-get install sip-tester.") from e
    except subprocess.TimeoutExpired as e:
        raise UserError(f"sipp did not come to an end: {e}.") from e
    return _read(statistics)


def _read(statistics: Path) -> SippCount:
    """The totals from the last line of sipp's statistics."""
    if not statistics.exists():
        raise UserError("sipp wrote no statistics; run it by hand to see why.")
    last = list(csv.DictReader(statistics.read_text().splitlines(), delimiter=";"))[-1]
    clock = last.get("ResponseTime1(C)", "0:0:0:0").split(":")
    hours, minutes, seconds, fraction = (int(part) for part in (*clock, "0")[:4])
    set_up_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction // 1000
    return SippCount(int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]), set_up_ms)


def _even_port() -> int:
    return free_port() // _RTP_PORTS * _RTP_PORTS
