"""Whether the settings are valid, and leave no door open that nobody meant to open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.settings import DEFAULT_FILE, Settings

CODE = "settings"
WIDE_PREFIX = 8
"""A network this wide or wider is the whole internet, or nearly."""


async def look(box: Box) -> Sequence[Finding]:
    """They were read, or nobody would ask; what they open is looked at here."""
    settings = box.settings
    found = [*_open_doors(settings), *_places(settings)]
    file = file_in_force()
    read = (
        f"{file} is valid."
        if file
        else "No settings file: defaults and the environment are in force."
    )
    return [Finding(CODE, State.GOOD, read), *found]


def file_in_force() -> Path | None:
    """The settings file that was read, where there is one."""
    path = Path(os.environ.get("IVR_SETTINGS", DEFAULT_FILE))
    return path.absolute() if path.exists() else None


def is_loopback(host: str) -> bool:
    """Whether ``host`` can be reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _open_doors(settings: Settings) -> Iterator[Finding]:
    for network in settings.sip.allow:
        if network.prefixlen <= WIDE_PREFIX and not network.is_loopback:
            yield Finding(
                CODE, State.WARNING, f"sip.allow lets {network} call: nearly everybody.",
                "Name the networks of your carrier and telephones only; scanners find an open port"
                " within hours.", code="open-sip",
            )  # fmt: skip
    if not settings.admin.tls and not is_loopback(settings.admin.host):
        yield Finding(
            CODE, State.BAD, f"The console speaks plain HTTP on {settings.admin.host}.",
            "Set admin.tls, or let it listen on 127.0.0.1 behind a proxy that speaks HTTPS.",
            code="plain-console",
        )  # fmt: skip
    for name, host in (
        ("worker.host", settings.worker.host),
        ("switch.esl_host", settings.switch.esl_host),
        ("switch.api_host", settings.switch.api_host),
        # FreeSWITCH plays whatever comes there: who reaches it speaks into calls
        ("switch.playback_host", settings.switch.playback_host),
    ):
        if not is_loopback(host):
            yield Finding(
                CODE, State.WARNING, f"{name} = {host} can be reached from outside this machine.",
                "Use 127.0.0.1, or guard that network: a firewall that lets only our machines in.",
                code="not-loopback",
            )  # fmt: skip


def _places(settings: Settings) -> Iterator[Finding]:
    if file_in_force() and not settings.data_dir.is_absolute():
        yield Finding(
            CODE, State.WARNING,
            f"data_dir = {settings.data_dir} depends on the folder that a command is started in.",
            "Write it in full: data_dir = \"/var/lib/ivr\".", code="relative-data-dir",
        )  # fmt: skip


CHECKS = (Check(CODE, "Settings", Group.SETTINGS, look, how="reads them; weighs what they open"),)
