"""The API's door: who may in, how long they may stand in it, and what they are told."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest

from appliance.settings import Settings, Switch
from appliance.store.database import open_sync_engine
from appliance.telephony.channel import LiveCall
from appliance.telephony.clerk import Clerk
from appliance.telephony.dialler import Dialler
from appliance.telephony.facts import Facts, State
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.records import Records
from appliance.telephony.roster import Roster
from appliance.telephony.switchapi import CLIENT_TIMEOUT_S, SwitchApi
from appliance.telephony.workers import Workers
from tests.freeswitch_kit import free_port

pytestmark = pytest.mark.server
CALL_ID = "11111111-2222-3333-4444-555555555555"


class Door:
    """The API of a switch without Postgres and FreeSWITCH, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        settings = Settings(data_dir=folder, switch=Switch(conf_dir=folder, api_port=self.port))
        self.secret = settings.secret("switch")
        engine = open_sync_engine("postgresql://nobody@127.0.0.1:9/none")
        self.ports = PlaybackPorts("127.0.0.1", 24000, 10)
        self.office = Office(
            settings, FreeSwitch(), Workers(()), self.ports, Notices(folder, ()), "secret"
        )
        dialler = Dialler(Clerk(engine), self.office, Records(engine, folder / "spool"))
        roster = Roster(engine, self.office)
        self.api = SwitchApi(settings, Clerk(engine), self.office, roster, dialler)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and answer; the client is a thread of its own."""
        answer: tuple[int, Any] = gevent.get_hub().threadpool.apply(
            self._ask, (method, path, body, headers)
        )
        return answer

    def _ask(
        self, method: str, path: str, body: object, headers: dict[str, str]
    ) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={"Authorization": f"Bearer {self.secret}"} | headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, orjson.loads(answer.read())
        except urllib.error.HTTPError as e:
            with e:
                return e.code, orjson.loads(e.read())


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    door.api.start()
    yield door
    door.api.stop()
    door.ports.close()


def test_without_the_token_nothing_is_told_or_done(door: Door) -> None:
    for wrong in (
        "",
        "Bearer ",
        f"Bearer {door.secret}x",
        f"bearer {door.secret}",
        "Bearer \u00e9",
    ):
        for path in ("/v1/calls", "/v1/nothing"):
            assert door.ask("GET", path, Authorization=wrong)[0] == 401
    assert door.ask("GET", "/v1/calls") == (200, {"calls": []})


def test_a_client_that_says_nothing_is_left(door: Door) -> None:
    def silent() -> float:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", door.port), timeout=20) as client:
            client.send(b"GET /v1/calls HTTP/1.1\r\nHost: x\r\n")
            while client.recv(1000):
                pass
        return time.monotonic() - begun

    assert gevent.get_hub().threadpool.apply(silent) < CLIENT_TIMEOUT_S + 10


def test_a_whisper_that_is_no_line_is_refused_and_the_call_goes_on(door: Door) -> None:
    call = LiveCall(Facts(CALL_ID, "1001", ""), door.office)
    door.office.calls[CALL_ID] = call
    status, said = door.ask("POST", f"/v1/calls/{CALL_ID}/whisper", {"text": "x" * 501})
    assert (status, call.state) == (400, State.NEW) and "500 letters" in said["error"]
    assert door.ask("POST", f"/v1/calls/{CALL_ID}/whisper", {"text": "Be kind."})[0] == 202


def test_what_breaks_a_request_is_logged_and_tells_nothing(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(door.office.workers, "states", fault)
    status, said = door.ask("GET", "/v1/workers")
    assert status == 500 and "secret" not in said["error"]
    assert "ZeroDivisionError" in caplog.text


def test_without_postgres_the_list_says_so(door: Door) -> None:
    status, said = door.ask("GET", "/v1/outbound")
    assert status == 503 and said["error"]
