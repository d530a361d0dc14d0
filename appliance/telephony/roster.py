"""Trunks, telephones and numbers in force: read from Postgres, written into FreeSWITCH's ``site``.

Postgres is asked every 5 s whether anything changed. What was read last stays in force while Postgres,
or a trunk's DNS, is away; the files stay for a FreeSWITCH that starts without us.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.lock import RLock
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError
from appliance.store.phonebook import Telephony, Trunk
from appliance.store.trunks import load_telephony, telephony_version
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.office import Office
from appliance.telephony.trunkfiles import acl_xml, directory_xml, gateway_xml

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
RESOLVE_EVERY_S = 300.0
"""Carriers move their gateways; FreeSWITCH looks up whom it calls by itself, the ACL cannot."""
AUDIO_CALLS = 20
"""The last calls of each trunk whose packets are remembered."""
RESOLVE_TIMEOUT_S = 3.0
UP_STATES = ("REGED", "NOREG")
PING_UP = "UP"


class Roster:
    """Keeps ``office.telephony`` and FreeSWITCH's files as the database says."""

    def __init__(self, engine: Engine, office: Office) -> None:
        self._engine = engine
        self._office = office
        self._site = office.settings.switch.conf_dir / "site"
        self._away = False
        self._refreshing = RLock()
        """The API and the regular look must not write the same files at once."""
        self._resolve_at_s = 0.0
        self._audio: dict[str, deque[tuple[int, int]]] = {}
        self.states: dict[str, str] = {}
        """Last state of each gateway, as FreeSWITCH told it."""

    def run(self) -> None:
        """Look for changes, for ever."""
        while True:
            gevent.sleep(LOOK_EVERY_S)
            try:
                self.refresh()
            except SwitchError as e:
                log.info("= changes wait for FreeSWITCH: %s", e)
            except OSError as e:
                log.error("! FreeSWITCH's configuration is not written: %s", e)

    def refresh(self, *, always: bool = False) -> None:
        """Take in what changed; with ``always`` write FreeSWITCH's files even if nothing did.

        Raises SwitchError or OSError when FreeSWITCH could not be told: the next look tries again.
        """
        with self._refreshing:
            changed = self._read()
            if changed or time.monotonic() >= self._resolve_at_s:
                always = self._resolve() or always
            if changed or always:
                self._write()
                gevent.spawn(self._speak_notices)

    def on_gateway(self, name: str, state: str) -> None:
        """FreeSWITCH tells a gateway's new state."""
        if self.states.get(name) != state:
            log.info("= trunk %s: %s", name, state)
        self.states[name] = state
        self.look_at_gateway(name)

    def heard(self, trunk: str, received: int, sent: int) -> None:
        """RTP packets of a call that is over: what one-way audio is diagnosed from."""
        if trunk:
            self._audio.setdefault(trunk, deque(maxlen=AUDIO_CALLS)).append((received, sent))

    def audio_of(self, trunk: str) -> list[dict[str, int]]:
        """The last calls of a trunk: RTP packets from it and to it."""
        return [
            {"in_packets": got, "out_packets": sent} for got, sent in self._audio.get(trunk, ())
        ]

    def describe(self, trunk: Trunk) -> dict[str, Any]:
        """For people: a trunk, whether it is up, and what it carries."""
        found = self.look_at_gateway(trunk.name) if trunk.enabled else {}
        return {
            "name": trunk.name,
            "carrier": trunk.carrier,
            "proxy": trunk.proxy,
            "enabled": trunk.enabled,
            "register": trunk.register,
            "state": found.get("State", "") if trunk.enabled else "disabled",
            "ping": found.get("Status", ""),
            "ping_ms": found.get("PingTime", ""),
            "up": trunk.enabled and trunk.name not in self._office.down_trunks and bool(found),
            "calls": self._office.calls_by_trunk().get(trunk.name, 0),
            "max_calls": trunk.max_calls,
        }

    def look_at_gateway(self, name: str) -> dict[str, str]:
        """Ask for a gateway's state now; also what calls we make go by."""
        try:
            found = self._office.freeswitch.gateway(name)
        except SwitchError:
            return {}
        up = found.get("State", "") in UP_STATES and found.get("Status", PING_UP).startswith(
            PING_UP
        )
        (self._office.down_trunks.discard if up else self._office.down_trunks.add)(name)
        return found

    def _read(self) -> bool:
        try:
            found = gevent.get_hub().threadpool.apply(self._load)
        except SQLAlchemyError as e:
            if not self._away:
                self._away = True
                reason = str(e).strip().partition("\n")[0]
                log.warning("! Postgres is away, what was read last stays in force: %s", reason)
            return False
        except UserError as e:
            log.error("! trunks and numbers are not read: %s", e)
            return False
        self._away = False
        if found is None:
            return False
        self._office.telephony = found
        log.info(
            "= %d trunks, %d numbers, %d telephones, %d agents in force",
            len(found.trunks), len(found.numbers), len(found.extensions), len(found.agents),
        )  # fmt: skip
        return True

    def _load(self) -> Telephony | None:
        """In a native thread: everything, or None when nothing changed."""
        with self._engine.connect() as connection:
            if telephony_version(connection) == self._office.telephony.version:
                return None
            connection.rollback()
            return load_telephony(connection)

    def _resolve(self) -> bool:
        """Look up the trunks' proxies; whether an address changed."""
        self._resolve_at_s = time.monotonic() + RESOLVE_EVERY_S
        before = self._office.resolved
        found: dict[str, tuple[str, ...]] = {}
        for trunk in self._office.telephony.trunks:
            known = tuple(self._office.resolved.get(trunk.name, ()))
            found[trunk.name] = _addresses(trunk.host) or known
        self._office.resolved = found
        return found != before

    def _write(self) -> None:
        telephony, resolved = self._office.telephony, self._office.resolved
        gateways = {t.name: gateway_xml(t) for t in telephony.trunks if t.enabled}
        changed = _write_folder(self._site / "gateways", gateways)
        phones = {e.extension: directory_xml(e) for e in telephony.extensions.values() if e.enabled}
        _write_folder(self._site / "directory", phones)
        _write_file(self._site / "acl.xml", acl_xml(telephony.trunks, resolved))
        self._office.freeswitch.reload(
            [name for name in changed if name not in gateways],
            [name for name in changed if name in gateways],
        )
        for name in changed:
            self.states.pop(name, None)
            self._office.down_trunks.discard(name)

    def _speak_notices(self) -> None:
        """Have everything spoken that FreeSWITCH may have to play by itself."""
        telephony, notices = self._office.telephony, self._office.notices
        for agent in telephony.agents.values():
            for text in (agent.apology, agent.language_prompt):
                notices.render(text, agent)
        for number in telephony.numbers.values():
            notices.render(number.closed_text, number.agent)


def _addresses(host: str) -> tuple[str, ...]:
    try:
        with gevent.Timeout(RESOLVE_TIMEOUT_S):
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, gevent.Timeout):
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))


def _write_folder(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Make ``folder`` hold exactly ``files`` (.xml); the names of those gone or changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for path in folder.glob("*.xml"):
        if path.stem not in files:
            path.unlink()
            changed.append(path.stem)
    for name, text in files.items():
        path = folder / f"{name}.xml"
        existed = path.exists()
        if _write_file(path, text) and existed:
            changed.append(name)
    return changed


def _write_file(path: Path, text: str) -> bool:
    """Write ``text`` unless it stands there already; True when it did not. Holds passwords: 0640."""
    if path.exists() and path.read_text() == text:
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with open(descriptor, "w") as out:
        out.write(text)
    temporary.replace(path)
    return True
