"""The HTTP API of ``ivr switch``: what the commands, the console and other programs ask of live calls.

Loopback by default; every request carries ``Authorization: Bearer SECRET`` with the generated secret
``switch``. JSON in, JSON out; errors are ``{"error": "one sentence"}``.
"""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import ProtocolError, UserError, reason_of
from appliance.metrics.access import has_token, may_read
from appliance.metrics.exposition import CONTENT_TYPE
from appliance.numbers import e164
from appliance.settings import METRICS_SECRET, SWITCH_SECRET, Settings
from appliance.store import outbound
from appliance.telephony.channel import LiveCall
from appliance.telephony.clerk import Clerk
from appliance.telephony.destinations import Destination, Kind
from appliance.telephony.dialler import Dialler
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.hours import parse_hours
from appliance.telephony.office import Office
from appliance.telephony.ringing import Ringing
from appliance.telephony.roster import Roster
from appliance.telephony.supervision import MODES, supervise
from appliance.telephony.tollguard import TollRefusedError

log = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 64 * 1024
DATABASE_TIMEOUT_S = 5.0
MOST_CLIENTS = 64
"""At once; who comes later waits. Each holds a file descriptor that a call may need."""
MOST_REFUSED_SHOWN = 20
"""Kinds of refusals, in the status that is asked every few seconds."""
METRICS = "/metrics"
CLIENT_TIMEOUT_S = 5.0
"""Without a word from it, a client is left."""
_STATUS = {
    200: "200 OK", 202: "202 Accepted", 400: "400 Bad Request", 401: "401 Unauthorized",
    404: "404 Not Found", 405: "405 Method Not Allowed", 409: "409 Conflict",
    413: "413 Content Too Large", 500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}  # fmt: skip

T = TypeVar("T")
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Answer = tuple[int, dict[str, Any]]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewCall(_Body):
    """``POST /v1/calls``."""

    number: str = Field(max_length=64)
    agent: str = Field(max_length=64)
    attempts: int = Field(3, ge=1, le=20)
    retry_after_s: int = Field(900, ge=1, le=7 * 86400)
    hours: str = Field("", max_length=2000)
    at: AwareDatetime | None = None


class Listed(_Body):
    """The query of ``GET /v1/outbound``."""

    state: str = Field("", max_length=100)
    """States with commas between them; empty: all."""
    limit: int = Field(100, ge=1, le=1000)


class TransferTo(_Body):
    """``POST /v1/calls/ID/transfer``."""

    to: str = Field(max_length=256)
    mode: str = Field("attended", pattern="^(attended|blind)$")


class Unblock(_Body):
    """``POST /v1/toll/unblock``."""

    range: str = Field(pattern=r"^\+[0-9]{1,14}$")


class Supervise(_Body):
    """``POST /v1/calls/ID/supervise``."""

    extension: str = Field(pattern="^[0-9]{2,6}$")
    mode: str = Field("listen", pattern=f"^({'|'.join(MODES)})$")


class Whisper(_Body):
    """``POST /v1/calls/ID/whisper``."""

    text: str = Field(min_length=1, max_length=1000)


class _Handler(WSGIHandler):
    """One client; gevent would wait for it for ever."""

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        sock.settimeout(CLIENT_TIMEOUT_S)
        super().__init__(sock, address, server)


class SwitchApi:
    """The server; it runs in greenlets of its own."""

    def __init__(
        self, settings: Settings, clerk: Clerk, office: Office, roster: Roster, dialler: Dialler,
        metrics: Callable[[], bytes] | None = None,
    ) -> None:  # fmt: skip
        """``metrics``: the text of ``GET /metrics``."""
        switch = settings.switch
        self._settings = settings
        self._clerk = clerk
        self._office = office
        self._roster = roster
        self._dialler = dialler
        self._secret = settings.secret(SWITCH_SECRET)
        self._metrics = metrics
        self._server = WSGIServer(
            (switch.api_host, switch.api_port), self._serve, log=None, spawn=Pool(MOST_CLIENTS),
            handler_class=_Handler,
        )  # fmt: skip
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            ("GET", re.compile(r"/v1/calls"), self._calls),
            ("POST", re.compile(r"/v1/calls"), self._make_call),
            ("GET", re.compile(r"/v1/outbound"), self._list_outbound),
            ("GET", re.compile(r"/v1/outbound/([0-9a-f-]{4,36})"), self._outbound),
            ("POST", re.compile(r"/v1/outbound/([0-9a-f-]{4,36})/cancel"), self._cancel),
            ("POST", re.compile(r"/v1/calls/([0-9A-Za-z-]{4,64})/hangup"), self._hang_up),
            ("POST", re.compile(r"/v1/calls/([0-9A-Za-z-]{4,64})/transfer"), self._transfer),
            ("POST", re.compile(r"/v1/calls/([0-9A-Za-z-]{4,64})/supervise"), self._supervise),
            ("POST", re.compile(r"/v1/calls/([0-9A-Za-z-]{4,64})/whisper"), self._whisper),
            ("GET", re.compile(r"/v1/trunks"), self._trunks),
            ("GET", re.compile(r"/v1/trunks/([0-9A-Za-z_-]{1,64})"), self._trunk),
            ("GET", re.compile(r"/v1/workers"), self._workers),
            ("GET", re.compile(r"/v1/status"), self._status),
            ("POST", re.compile(r"/v1/reload"), self._reload),
            ("GET", re.compile(r"/v1/toll"), self._toll),
            ("POST", re.compile(r"/v1/toll/unblock"), self._unblock),
        ]

    def start(self) -> None:
        """Begin to listen. Raises UserError."""
        try:
            self._server.start()
        except OSError as e:
            switch = self._settings.switch
            raise UserError(
                f"The API of ivr switch cannot listen on {switch.api_host}:{switch.api_port}"
                f" ({e.strerror}); is another one running? Else set switch.api_port."
            ) from e

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop(timeout=1)

    def _serve(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == METRICS and self._may_read(environ):
            return self._tell(start)
        status, answer = self._answer(environ)
        body = orjson.dumps(answer)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start(_STATUS[status], headers)
        return [body]

    def _may_read(self, environ: dict[str, Any]) -> bool:
        """Whether they may see the metrics: as everywhere, or with the token of this API."""
        given, host = environ.get("HTTP_AUTHORIZATION", ""), self._settings.switch.api_host
        secret = partial(self._settings.secret, METRICS_SECRET)
        return environ["REQUEST_METHOD"] == "GET" and (
            has_token(given, self._secret) or may_read(host, given, secret)
        )

    def _tell(self, start: StartResponse) -> Iterable[bytes]:
        text = self._metrics() if self._metrics is not None else b""
        start(_STATUS[200], [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(text)))])
        return [text]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, f"Bearer {self._secret}".encode()):
            return 401, {"error": "The bearer token is missing or wrong."}
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        found = [(m, work, p.fullmatch(path)) for m, p, work in self._routes if p.fullmatch(path)]
        if not found:
            return 404, {"error": f"There is no {path}."}
        for allowed, work, match in found:
            if allowed == method and match is not None:
                return self._guarded(work, match.groups(), environ)
        return 405, {"error": f"{path} takes {' and '.join(m for m, _, _ in found)}."}

    def _guarded(
        self, work: Callable[..., Answer], parts: tuple[str, ...], environ: dict[str, Any]
    ) -> Answer:
        try:
            if environ["REQUEST_METHOD"] != "GET":
                return work(*parts, _body(environ))
            if work == self._list_outbound:
                return work(dict(parse_qsl(environ.get("QUERY_STRING", ""))))
            return work(*parts)
        except ValidationError as e:
            item = e.errors()[0]
            where = ".".join(str(part) for part in item["loc"])
            return 400, {"error": f"{where}: {item['msg']}."}
        except UserError as e:
            return 400, {"error": str(e)}
        except ProtocolError as e:
            return 400, {"error": f"That cannot be said: {e}."}
        except (SwitchError, SQLAlchemyError, OSError) as e:
            return 503, {"error": reason_of(e)}
        except Exception:  # the border of a request
            log.exception("! a request broke: %s %s", environ["REQUEST_METHOD"], work.__name__)
            return 500, {"error": "A fault of ours; the log of ivr switch has it."}

    # --- calls ------------------------------------------------------------------------------------

    def _calls(self) -> Answer:
        live = [call.describe() for call in self._office.calls.values()]
        known = self._office.calls
        rings = [r.describe() for r in self._dialler.ringing() if r.call_id not in known]
        return 200, {"calls": live + rings}

    def _make_call(self, body: Any) -> Answer:
        asked = NewCall.model_validate(body)
        country = self._office.site.country
        self._check(asked)
        call = self._ask(
            lambda connection: outbound.enqueue(
                connection, asked.number, asked.agent, country, at=asked.at,
                max_attempts=asked.attempts, retry_after_s=asked.retry_after_s, hours=asked.hours,
            )
        )  # fmt: skip
        self._dialler.wake()
        return 202, {"id": call.id, "state": call.state, "number": call.number}

    def _check(self, asked: NewCall) -> None:
        """What would only show when the call is due. Raises UserError."""
        hours = parse_hours(asked.hours, self._settings.switch.timezone)
        if hours.next_opening(datetime.now(UTC)) is None:
            raise UserError(f"These hours never come: {asked.hours!r}.")
        if asked.agent not in self._office.telephony.agents:
            self._roster.refresh()  # published just now?
        if asked.agent not in self._office.telephony.agents:
            raise UserError(f"There is no published agent {asked.agent!r}.")
        try:
            self._office.toll_guard(asked.agent).check(
                e164(asked.number, self._office.site.country)
            )  # what is refused only now, waits
        except TollRefusedError as e:
            self._office.note_refused(e, asked.agent, "")
            raise
        if not any(trunk.enabled for trunk in self._office.telephony.trunks):
            raise UserError("There is no trunk to dial through; add one with `ivr trunks add`.")

    def _list_outbound(self, query: dict[str, str]) -> Answer:
        asked = Listed.model_validate(query)
        states = [state for state in asked.state.split(",") if state]
        for state in states:
            if state not in outbound.STATES:
                raise UserError(f"There is no state {state!r}: {', '.join(outbound.STATES)}.")
        found = self._ask(
            lambda connection: outbound.list_outbound(connection, states=states, limit=asked.limit)
        )
        return 200, {"outbound": orjson.loads(orjson.dumps(found))}

    def _outbound(self, id_: str) -> Answer:
        call = self._ask(lambda connection: outbound.read_outbound(connection, id_))
        if call is None:
            return 404, {"error": f"There is no call {id_} on the list."}
        return 200, orjson.loads(orjson.dumps(call))

    def _cancel(self, id_: str, _: Any) -> Answer:
        call = self._ask(lambda connection: outbound.read_outbound(connection, id_))
        if call is None:
            return 404, {"error": f"There is no call {id_} on the list."}
        rings = next((r for r in self._dialler.ringing() if r.call.id == call.id), None)
        if rings is not None and rings.call_id not in self._office.calls:
            self._dialler.cancel(rings)
        elif not self._ask(lambda c: outbound.cancel(c, call.id, datetime.now(UTC))):
            return 409, {"error": f"Call {call.id} is {call.state}: only one that waits or rings"
                                  " can be cancelled."}  # fmt: skip
        return 202, {"id": call.id, "number": call.number}

    def _ask(self, work: Callable[[Connection], T]) -> T:
        return self._clerk.ask(work, DATABASE_TIMEOUT_S)

    def _hang_up(self, call_id: str, _: Any) -> Answer:
        rings = self._rings(call_id)
        if rings is not None:
            self._dialler.cancel(rings)
        else:
            self._live(call_id).hang_up("NORMAL_CLEARING")
        return 202, {"call_id": call_id}

    def _rings(self, call_id: str) -> Ringing | None:
        """The telephone of that id that rings for the list, if it is the only one."""
        known = self._office.calls
        if any(id_.startswith(call_id) for id_ in known):
            return None
        found = [r for r in self._dialler.ringing() if r.call_id.startswith(call_id)]
        return found[0] if len(found) == 1 else None

    def _transfer(self, call_id: str, body: Any) -> Answer:
        asked = TransferTo.model_validate(body)
        call = self._live(call_id)
        if self._office.plan_for(asked.to, call.facts) is None:
            raise UserError(f"{asked.to!r} cannot be rung; see the log of ivr switch for why.")
        call.transfer(asked.to, asked.mode)
        return 202, {"call_id": call_id, "to": asked.to}

    def _whisper(self, call_id: str, body: Any) -> Answer:
        self._live(call_id).whisper(Whisper.model_validate(body).text)
        return 202, {"call_id": call_id}

    def _supervise(self, call_id: str, body: Any) -> Answer:
        asked = Supervise.model_validate(body)
        call = self._live(call_id)
        extension = Destination(Kind.EXTENSION, asked.extension)
        supervise(self._office, call, extension, asked.mode)
        return 202, {"call_id": call_id, "extension": asked.extension, "mode": asked.mode}

    def _live(self, call_id: str) -> LiveCall:
        found = [c for id_, c in self._office.calls.items() if id_.startswith(call_id)]
        if len(found) != 1:
            raise UserError(
                f"There is no live call {call_id}." if not found else f"{call_id} is several calls."
            )
        return found[0]

    # --- trunks -----------------------------------------------------------------------------------

    def _trunks(self) -> Answer:
        return 200, {"trunks": [self._roster.describe(t) for t in self._office.telephony.trunks]}

    def _trunk(self, name: str) -> Answer:
        trunk = self._office.telephony.trunk(name)
        if trunk is None:
            return 404, {"error": f"There is no trunk {name}."}
        return 200, self._roster.describe(trunk) | {"audio": self._roster.audio_of(name)}

    def _workers(self) -> Answer:
        return 200, {"workers": self._office.workers.states()}

    def _status(self) -> Answer:
        office = self._office
        return 200, {
            "freeswitch": office.freeswitch.attached,
            "calls": len(office.calls),
            "call_greenlets": len(office.greenlets),
            "playback_ports": office.ports.in_use,
            "ringing": len(office.jobs),
            "down_trunks": sorted(office.down_trunks),
            "blocked_ranges": sorted(office.toll.blocked(time.time())),
            "toll_refused": self._refused()[:MOST_REFUSED_SHOWN],
        }

    def _toll(self) -> Answer:
        now_s = time.time()
        usage = self._office.toll.usage(now_s)
        return 200, {
            "usage": {
                key: {"calls": one.calls, "hour_s": one.hour_s, "day_s": one.day_s}
                for key, one in sorted(usage.items())
            },
            "blocked": self._office.toll.blocked(now_s),
            "refused": self._refused(),
        }

    def _refused(self) -> list[dict[str, Any]]:
        """Of the last hour, the latest first."""
        return [
            {
                "number": one.number, "who": one.who, "rule": one.rule.value, "why": one.why,
                "count": one.count, "last_at": one.last_s,
            }
            for one in self._office.refusals.recent(time.time())
        ]  # fmt: skip

    def _unblock(self, body: Any) -> Answer:
        asked = Unblock.model_validate(body)
        if not self._office.toll.unblock(asked.range):
            return 404, {"error": f"{asked.range} is not stopped."}
        log.warning("= toll: %s may be rung again", asked.range)
        return 200, {"range": asked.range}

    def _reload(self, _: Any) -> Answer:
        self._roster.refresh()
        return 200, {"version": self._office.telephony.version}


def _body(environ: dict[str, Any]) -> Any:
    """The request's JSON. Raises UserError."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > LARGEST_BODY_BYTES:
        raise UserError(f"A body of {length} bytes; {LARGEST_BODY_BYTES} at most.")
    try:
        return orjson.loads(environ["wsgi.input"].read(int(length)) or b"{}")
    except orjson.JSONDecodeError as e:
        raise UserError(f"The body is not JSON: {e}.") from e
