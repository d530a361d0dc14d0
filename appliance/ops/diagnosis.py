"""``ivr trunks diagnose``: what is wrong with a trunk, told check by check."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from appliance.ops.console import plain, print_json
from appliance.ops.trunks import audio_of, read
from appliance.settings import Settings
from appliance.store.phonebook import Trunk
from appliance.telephony.diagnose import Check, diagnose
from appliance.telephony.site import read_variables

_MARKS = {True: "ok  ", False: "BAD ", None: "--  "}


def run(settings: Settings, name: str, *, as_json: bool) -> bool:
    """Check a trunk and tell each verdict as it is known; whether nothing is wrong.

    Raises UserError when there is no such trunk.
    """
    checks = []
    for check in checks_of(settings, read(settings, name)):
        checks.append(check)
        if not as_json:
            _tell(check)
    good = all(check.ok is not False for check in checks)
    if as_json:
        print_json(
            {"trunk": name, "ok": good, "checks": [dataclasses.asdict(check) for check in checks]}
        )
    elif good:
        print(f"Nothing is wrong with trunk {name} as far as can be told from here.")
    return good


def checks_of(settings: Settings, trunk: Trunk) -> Iterator[Check]:
    """Each verdict as soon as it is known. Blocks for seconds."""
    return diagnose(
        trunk,
        audio=audio_of(settings, trunk.name),
        external_address=_external_address(settings),
    )


def _tell(check: Check) -> None:
    print(f"{_MARKS[check.ok]} {check.name:<9} {plain(check.what)}", flush=True)
    if check.remedy:
        print(f"{'':15}→ {plain(check.remedy)}", flush=True)


def _external_address(settings: Settings) -> str:
    """The address that FreeSWITCH says it has; empty where it is not set."""
    path = settings.switch.conf_dir / "site" / "vars.xml"
    try:
        value = read_variables(path.read_text()).get("external_address", "")
    except OSError:
        return ""
    return "" if "$" in value else value
