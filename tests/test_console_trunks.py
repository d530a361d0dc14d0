"""Trunks, telephones and queues by services and API: the operator's alone; no password comes out."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.access.roles import Role
from appliance.admin.console import Console
from appliance.admin.services import telephones, trunks
from appliance.errors import UserError
from appliance.ops.extensions import a1_hash
from appliance.ops.keeping.ports import free_port
from appliance.settings import Settings, Switch
from appliance.store.models import LegRow
from appliance.store.phonebook import Queue, Trunk
from tests.console_kit import console_on
from tests.review_console_kit import ADMIN, OPERATOR, actor, add_tenants, api_as

pytestmark = pytest.mark.server
SECRET = "geheim-${x}"
TRUNK = Trunk("a", "127.0.0.1:5999", username="u", password=SECRET, caller_id="+918022223333")


@pytest.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    await add_tenants(engine)
    switch = Switch(api_port=free_port(), conf_dir=tmp_path / "freeswitch")
    async with console_on(engine, Settings(data_dir=tmp_path, switch=switch)) as made:
        yield made


@pytest.fixture
def carrier() -> Iterator[int]:
    """A SIP server on UDP that answers everything with 200; its port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(0.1)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                data, where = server.recvfrom(65536)
            except TimeoutError:
                continue
            lines = data.decode().split("\r\n\r\n")[0].split("\r\n")
            kept = [
                line for line in lines if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")
            ]
            to = next(line for line in lines if line.startswith("To:")) + ";tag=1"
            answer = ["SIP/2.0 200 OK", *kept, to, "Content-Length: 0", "", ""]
            server.sendto("\r\n".join(answer).encode(), where)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    stop.set()
    thread.join()
    server.close()


async def password(console: Console) -> str:
    async with console.engine.connect() as connection:
        return str(await connection.scalar(text("SELECT password FROM trunks")))


async def test_a_password_goes_in_and_never_comes_out(console: Console) -> None:
    said: list[str] = []
    async with api_as(console, OPERATOR) as http:
        body = {
            "name": "a", "proxy": "sip.a.example", "username": "u", "password": SECRET,
            "register": True, "caller_id": "080 2222 3333", "codecs": ["PCMA"],
        }  # fmt: skip
        for method, path, sent in (
            ("POST", "/trunks", body),
            ("POST", "/trunks", body),
            ("PUT", "/trunks/a", {"priority": 3}),
            ("PUT", "/trunks/a", {"password": "", "carrier": "Airtel"}),
            ("PUT", "/trunks/a", {"proxy": "evil.example"}),
            ("PUT", "/trunks/a", {"codecs": ["MP3"]}),
            ("GET", "/trunks", None),
            ("GET", "/trunks/a", None),
            ("GET", "/trunks/a/failures", None),
            ("GET", "/trunks/a/audio", None),
            ("POST", "/trunks/a/disable", None),
            ("POST", "/trunks/a/enable", None),
        ):
            answer = await http.request(method, path, json=sent)
            said.append(answer.text)
            assert answer.status_code < 500
        shown = (await http.get("/trunks/a")).json()
        assert shown["password_set"] and "password" not in shown
        assert (shown["priority"], shown["carrier"]) == (3, "Airtel")
        assert shown["proxy"] == "sip.a.example"  # a new server gets no old password
        assert shown["caller_id"] == "+918022223333" and shown["register"] is True
        assert await password(console) == SECRET
        moved = {"proxy": "sip.b.example", "password": "another-one"}
        said.append((await http.put("/trunks/a", json=moved)).text)
        assert await password(console) == "another-one"
        gone = await http.delete("/trunks/a")
        assert gone.status_code == 200 and (await http.get("/trunks/a")).status_code == 404
    async with console.engine.connect() as connection:
        rows = await connection.execute(text("SELECT action, detail::text FROM audit_log"))
        log = [tuple(row) for row in rows]
    assert [action for action, _ in log] == [
        "trunk.add", "trunk.change", "trunk.change", "trunk.disable", "trunk.enable", "trunk.change",
        "trunk.remove",
    ]  # fmt: skip
    for text_ in (*said, str(log)):
        assert SECRET not in text_ and "geheim" not in text_ and "another-one" not in text_
    assert '"password": "changed"' in log[5][1]


async def test_a_tenants_people_have_nothing_to_do_with_trunks(console: Console) -> None:
    await trunks.add(console, OPERATOR, TRUNK)
    for who in (ADMIN, actor(Role.REVIEWER), actor(Role.VIEWER)):
        for ask in (
            trunks.trunks(console, who),
            trunks.trunk(console, who, "a"),
            trunks.diagnose(console, who, "a"),
            trunks.audio(console, who, "a"),
            trunks.failures(console, who, "a"),
            trunks.add(console, who, TRUNK),
            trunks.change(console, who, "a", {"priority": 1}),
            trunks.set_enabled(console, who, "a", False),
            trunks.remove(console, who, "a"),
            telephones.list_extensions(console, who),
            telephones.save_extension(console, who, "1001", ""),
            telephones.set_extension_enabled(console, who, "1001", False),
            telephones.remove_extension(console, who, "1001"),
            telephones.list_queues(console, who),
            telephones.save_queue(console, who, Queue("q", ("1001",))),
            telephones.remove_queue(console, who, "q"),
        ):
            with pytest.raises(ForbiddenError):
                await ask


async def test_a_diagnosis_says_check_by_check_what_is_wrong(
    console: Console, carrier: int
) -> None:
    await trunks.add(console, OPERATOR, TRUNK)
    bad = [check async for check in await trunks.diagnose(console, OPERATOR, "a")]
    assert [(c.name, c.ok) for c in bad if c.ok is False] == [("OPTIONS", False)]
    proxy = f"127.0.0.1:{carrier}"
    await trunks.change(console, OPERATOR, "a", {"proxy": proxy, "password": SECRET})
    async with api_as(console, OPERATOR) as http:
        found = (await http.post("/trunks/a/diagnosis")).json()
    assert found["ok"], found
    assert {c["name"]: c["ok"] for c in found["checks"]}["OPTIONS"] is True
    with pytest.raises(NotFoundError):
        await trunks.diagnose(console, OPERATOR, "nowhere")


async def test_calls_that_failed_for_no_reason_of_the_peoples_are_counted(
    console: Console,
) -> None:
    await trunks.add(console, OPERATOR, TRUNK)
    now = datetime.now(UTC)
    legs = [
        ("l1", "GATEWAY_DOWN", 41, 503, timedelta(hours=1)), ("l2", "USER_BUSY", 17, 486, timedelta(0)),
        ("l3", "NO_ANSWER", 19, 0, timedelta(0)), ("l4", "GATEWAY_DOWN", 41, 503, timedelta(days=2)),
        ("l5", "ORIGINATOR_CANCEL", 487, 0, timedelta(0)),
    ]  # fmt: skip
    rows = [
        {"leg_id": id_, "call_id": "c", "kind": "callee", "trunk": "a", "started_at": now - ago,
         "cause": cause, "cause_code": code, "sip_status": status}
        for id_, cause, code, status, ago in legs
    ]  # fmt: skip
    async with console.engine.begin() as connection:
        await connection.execute(insert(LegRow), rows)
    assert (await trunks.trunk(console, OPERATOR, "a")).failures == 1
    (failure,) = await trunks.failures(console, OPERATOR, "a")
    assert (failure.cause, failure.sip_status) == ("GATEWAY_DOWN", 503)


async def test_a_telephones_password_is_shown_once(console: Console) -> None:
    async with api_as(console, OPERATOR) as http:
        made = (await http.put("/extensions/1001", json={"name": "Reception"})).json()
        listed = await http.get("/extensions")
        assert listed.json() == [{"extension": "1001", "name": "Reception", "enabled": True}]
        assert (await http.put("/extensions/1x", json={})).status_code == 400
        off = await http.put("/extensions/1001/enabled", json={"enabled": False})
        assert off.status_code == 200
        await http.put("/queues/support", json={"members": ["1001", "1009"]})
        gone = (await http.delete("/extensions/1001")).json()
        assert gone["notes"] == ["queue support still has 1001 as a member"]
        assert (await http.delete("/queues/nowhere")).status_code == 404
    async with console.engine.connect() as connection:
        log = str(list(await connection.execute(text("SELECT detail::text FROM audit_log"))))
    hashed = a1_hash("1001", made["domain"], made["password"])
    assert len(made["password"]) == 20
    assert made["password"] not in listed.text + log and hashed not in listed.text + log


async def test_a_queue_is_saved_with_what_is_missing_told(console: Console) -> None:
    changed = await telephones.save_queue(console, OPERATOR, Queue("support", ("1009",)))
    assert any("no extension 1009" in note for note in changed.notes)
    with pytest.raises(UserError, match="is a queue"):
        await telephones.save_queue(console, OPERATOR, Queue("a", ("queue:support",)))
    with pytest.raises(UserError, match="no name for a queue"):
        await telephones.save_queue(console, OPERATOR, Queue("a b", ("1001",)))
    (queue,) = await telephones.list_queues(console, OPERATOR)
    assert queue.members == ("1009",)
