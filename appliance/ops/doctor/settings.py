"""Whether the settings are valid, and leave no door open that nobody meant to open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.metrics.access import is_local
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.settings import Settings, settings_file

CODE = "settings"
WIDE_PREFIX = 8
"""A network this wide or wider is the whole internet, or nearly."""


async def look(box: Box) -> Sequence[Finding]:
    """They were read, or nobody would ask; what they open is looked at here."""
    settings = box.settings
    found = [*_open_doors(settings), *_places(settings)]
    file = file_in_force()
    read = (
        worded("{file} is valid.", file=file)
        if file
        else "No settings file: defaults and the environment are in force."
    )
    return [Finding(CODE, State.GOOD, read), *found]


def file_in_force() -> Path | None:
    """The settings file that was read, where there is one."""
    path = settings_file()
    return path.absolute() if path.exists() else None


def _open_doors(settings: Settings) -> Iterator[Finding]:
    for network in settings.sip.allow:
        if network.prefixlen <= WIDE_PREFIX and not network.is_loopback:
            yield Finding(
                CODE,
                State.WARNING,
                worded("sip.allow lets {network} call: nearly everybody.", network=network),
                "Name the networks of your carrier and telephones only; scanners find an open port"
                " within hours.",
                code="open-sip",
            )
    if not settings.admin.tls and not is_local(settings.admin.host):
        yield Finding(
            CODE,
            State.BAD,
            worded("The console speaks plain HTTP on {host}.", host=settings.admin.host),
            "Set admin.tls, or let it listen on 127.0.0.1 behind a proxy that speaks HTTPS.",
            code="plain-console",
        )
    for name, host in (
        ("worker.host", settings.worker.host),
        ("switch.esl_host", settings.switch.esl_host),
        ("switch.api_host", settings.switch.api_host),
        # FreeSWITCH plays whatever comes there: who reaches it speaks into calls
        ("switch.playback_host", settings.switch.playback_host),
    ):
        if not is_local(host):
            yield Finding(
                CODE,
                State.WARNING,
                worded(
                    "{name} = {host} can be reached from outside this machine.",
                    name=name,
                    host=host,
                ),
                "Use 127.0.0.1, or guard that network: a firewall that lets only our machines in.",
                code="not-loopback",
            )


def _places(settings: Settings) -> Iterator[Finding]:
    if file_in_force() and not settings.data_dir.is_absolute():
        yield Finding(
            CODE,
            State.WARNING,
            worded(
                "data_dir = {folder} depends on the folder that a command is started in.",
                folder=settings.data_dir,
            ),
            'Write it in full: data_dir = "/var/lib/ivr".',
            code="relative-data-dir",
        )


CHECKS = (Check(CODE, "Settings", Group.SETTINGS, look, how="reads them; weighs what they open"),)
