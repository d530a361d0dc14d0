"""Trunks, telephones and numbers in force: read from Postgres, written into FreeSWITCH's ``site``.

Postgres is asked every 5 s whether anything changed. What was read last stays in force while Postgres,
or a trunk's DNS, is away or does not answer; the files stay for a FreeSWITCH that starts without us.
Whatever hangs, calls are waiting: each step has an end, and threads of its own.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.lock import RLock
from gevent.threadpool import ThreadPool
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError, reason_of
from appliance.files import write_whole
from appliance.store.phonebook import Telephony, Trunk
from appliance.store.trunks import load_telephony, telephony_version
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.notices import PATIENT_S
from appliance.telephony.office import Office
from appliance.telephony.trunkfiles import acl_xml, directory_xml, gateway_xml

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
RESOLVE_EVERY_S = 300.0
"""Carriers move their gateways; FreeSWITCH looks up whom it calls by itself, the ACL cannot."""
AUDIO_CALLS = 20
"""The last calls of each trunk whose packets are remembered."""
RESOLVE_TIMEOUT_S = 3.0
"""For all trunks together; a name server that is away takes each thread for half a minute."""
LOOKUPS = 4
"""At once."""
READ_TIMEOUT_S = 3.0
"""Then the look is given up; its answer is taken by the next one."""
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
        self._reading: AsyncResult[Telephony | None] | None = None
        self._reader = ThreadPool(1)
        self._resolvers = ThreadPool(LOOKUPS)
        self._due = False
        """Something was read that FreeSWITCH has not been told of yet."""
        self._changed: set[str] = set()
        """Gateways whose files have changed since it was told."""
        self._audio: dict[str, deque[tuple[int, int]]] = {}
        self.states: dict[str, str] = {}
        """Last state of each gateway, as FreeSWITCH told it."""

    def run(self) -> None:
        """Look for changes, for ever."""
        while True:
            gevent.sleep(LOOK_EVERY_S)
            self.look()

    def look(self, *, always: bool = False) -> None:
        """As :meth:`refresh`, for whom no trouble may hold up: it is logged, and tried again."""
        try:
            self.refresh(always=always)
        except SwitchError as e:
            log.info("= changes wait for FreeSWITCH: %s", e)
        except OSError as e:
            log.error("! FreeSWITCH's configuration is not written: %s", e)
        except Exception:  # the border of a job: a row that nobody thought of costs no call
            log.exception("! what changed is not in force")

    def read(self) -> None:
        """Have the phonebook in memory, and whose addresses are whose, if Postgres answers soon;
        tells FreeSWITCH nothing."""
        with self._refreshing:
            if self._read():
                self._due = True
                self._resolve()

    def refresh(self, *, always: bool = False) -> None:
        """Take in what changed; with ``always`` write FreeSWITCH's files even if nothing did.

        Raises SwitchError or OSError when FreeSWITCH could not be told: the next look tries again.
        As long as nothing could be read, its files stay as they are.
        """
        with self._refreshing:
            read = self._read()
            self._due = read or self._due or always
            if not self._office.telephony.version:
                return
            if read or time.monotonic() >= self._resolve_at_s:
                self._due = self._resolve() or self._due
                gevent.spawn(self._speak_notices)
            if self._due:
                self._write()
                self._due = False

    def on_gateway(self, name: str, state: str) -> None:
        """FreeSWITCH tells a gateway's new state."""
        if self.states.get(name) != state:
            log.info("= trunk %s: %s", name, state)
        self.states[name] = state
        gevent.spawn(self.look_at_gateway, name)  # events of calls are waiting behind this one

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
        if self._reading is None:
            self._reading = self._reader.spawn(self._load)
        try:
            with gevent.Timeout(READ_TIMEOUT_S):
                found = self._reading.get()
        except gevent.Timeout:
            return self._tell_away("it does not answer")
        except SQLAlchemyError as e:
            self._reading = None
            return self._tell_away(reason_of(e))
        except UserError as e:
            self._reading = None
            log.error("! trunks and numbers are not read: %s", e)
            return False
        except Exception:
            self._reading = None
            raise
        self._reading, self._away = None, False
        if found is None:
            return False
        self._office.telephony = found
        log.info(
            "= %d trunks, %d numbers, %d telephones, %d agents in force",
            len(found.trunks), len(found.numbers), len(found.extensions), len(found.agents),
        )  # fmt: skip
        return True

    def _tell_away(self, reason: str) -> bool:
        """False: nothing was read."""
        if not self._away:
            self._away = True
            log.warning("! Postgres is away, what was read last stays in force: %s", reason)
        return False

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
        before, trunks = self._office.resolved, self._office.telephony.trunks
        asked = {
            trunk.name: gevent.spawn(self._addresses, trunk.host)
            for trunk in trunks
            if not _is_address(trunk.host)
        }
        gevent.joinall(list(asked.values()), timeout=RESOLVE_TIMEOUT_S)
        gevent.killall(list(asked.values()), block=False)
        found = {trunk.name: tuple(before.get(trunk.name, ())) for trunk in trunks}
        found |= {t.name: (t.host,) for t in trunks if t.name not in asked}
        found |= {name: job.value for name, job in asked.items() if job.successful() and job.value}
        self._office.resolved = found
        return found != before

    def _addresses(self, host: str) -> tuple[str, ...]:
        addresses: tuple[str, ...] = self._resolvers.apply(_look_up, (host,))
        return addresses

    def _write(self) -> None:
        telephony, resolved = self._office.telephony, self._office.resolved
        gateways = {t.name: gateway_xml(t) for t in telephony.trunks if t.enabled}
        _write_folder(self._site / "gateways", gateways, self._changed)
        phones = {e.extension: directory_xml(e) for e in telephony.extensions.values() if e.enabled}
        _write_folder(self._site / "directory", phones, set())
        _write_file(self._site / "acl.xml", acl_xml(telephony.trunks, resolved))
        self._office.freeswitch.reload(
            [name for name in self._changed if name not in gateways],
            [name for name in self._changed if name in gateways],
        )
        for name in self._changed:
            self.states.pop(name, None)
            self._office.down_trunks.discard(name)
        self._changed.clear()

    def _speak_notices(self) -> None:
        """Have everything spoken that FreeSWITCH may have to play by itself, and nothing kept that
        it will not."""
        telephony, notices = self._office.telephony, self._office.notices
        wanted = [(a.apology, a) for a in telephony.agents.values()]
        wanted += [(a.busy_phrase, a) for a in telephony.agents.values()]
        wanted += [(a.language_prompt, a) for a in telephony.agents.values()]
        wanted += [(n.closed_text, n.agent) for n in telephony.numbers.values()]
        for text, agent in wanted:
            notices.render(text, agent, PATIENT_S)
        notices.sweep({notices.path(text, agent) for text, agent in wanted})


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str) -> tuple[str, ...]:
    """In a native thread."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):  # the second: a label of over 63 letters
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))


def _write_folder(folder: Path, files: Mapping[str, str], changed: set[str]) -> None:
    """Make ``folder`` hold exactly ``files`` (.xml); names of those gone or changed go to ``changed``,
    one by one, for the disk may be full half-way. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.xml"):
        if path.stem not in files:
            path.unlink()
            changed.add(path.stem)
    for name, text in files.items():
        path = folder / f"{name}.xml"
        existed = path.exists()
        if _write_file(path, text) and existed:
            changed.add(name)


def _write_file(path: Path, text: str) -> bool:
    """Write ``text`` unless it stands there already; True when it did not. Holds passwords: 0640."""
    if path.exists() and path.read_bytes() == text.encode():
        return False
    write_whole(path, text.encode(), mode=0o640)
    return True
