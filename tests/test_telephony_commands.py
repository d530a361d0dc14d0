"""``ivr trunks``, ``numbers``, ``extensions``, ``queues`` and ``do-not-call`` on a real database."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.__main__ import main
from appliance.events import Agent
from appliance.ops.keeping.ports import free_port
from appliance.store.agents import publish_agent
from appliance.store.database import open_engine, open_sync_engine
from appliance.store.trunks import list_extensions, list_trunks

pytestmark = pytest.mark.server

Ivr = Callable[..., Result]
SECRET = "a-secret-of-the-switch"


class Switch:
    """What ``ivr switch`` answers, as a real HTTP server; keeps what it was asked."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {"/v1/reload": (200, {"version": "1"})}
        switch = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                switch.asked.append(f"{self.command} {self.path}")
                status, answer = switch.answers.get(self.path, (404, {"error": "no"}))
                if self.headers["Authorization"] != f"Bearer {SECRET}":
                    status, answer = 401, {"error": "The bearer token is missing or wrong."}
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def port(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of the switch's API, where nothing listens yet; the environment names all of it."""

    async def publish() -> None:
        engine = open_engine(database_url)
        await publish_agent(engine, Agent(id="help", version=0, name="Help"))
        await engine.dispose()

    asyncio.run(publish())
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "switch").write_text(SECRET)
    port = free_port()
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IVR_DATABASE__URL", database_url)
    monkeypatch.setenv("IVR_SWITCH__API_PORT", str(port))
    monkeypatch.setenv("IVR_SWITCH__CONF_DIR", str(tmp_path / "freeswitch"))
    monkeypatch.delenv("IVR_TRUNK_PASSWORD", raising=False)
    return port


@pytest.fixture
def ivr(port: int) -> Ivr:
    return lambda *words, stdin="": CliRunner().invoke(main, list(words), input=stdin)


@pytest.fixture
def switch(port: int) -> Iterator[Switch]:
    server = Switch(port)
    yield server
    server.close()


def done(result: Result) -> Any:
    """The JSON object of a command that went well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def refused(result: Result) -> str:
    assert result.exit_code == 2 and "Traceback" not in result.output, result.output
    return result.output


def test_a_trunk_is_added_changed_disabled_and_removed(ivr: Ivr, switch: Switch) -> None:
    added = done(
        ivr(
            "trunks", "add", "a", "--proxy", "sip.a.example:5061", "--transport", "tls",
            "--register", "--username", "u", "--password-stdin", "--address", "203.0.113.0/24",
            "--address", "203.0.114.1", "--caller-id", "080 2222 3333", "--codec", "pcma",
            "--max-calls", "5", "--json", stdin="geheim\n",
        )
    )  # fmt: skip
    trunk = added["trunk"]
    assert (added["action"], added["in_force"], added["notes"]) == ("added", True, ["In force."])
    assert trunk["caller_id"] == "+918022223333" and trunk["codecs"] == ["PCMA"]
    assert trunk["addresses"] == ["203.0.113.0/24", "203.0.114.1"] and "password" not in trunk
    changed = done(ivr("trunks", "change", "a", "--priority", "3", "--no-register", "--json"))
    assert changed["trunk"] == trunk | {"priority": 3, "register": False}
    assert done(ivr("trunks", "disable", "a", "--json"))["trunk"]["enabled"] is False
    assert done(ivr("trunks", "enable", "a", "--json"))["trunk"]["enabled"] is True
    assert ivr("trunks", "remove", "a").stdout == "Trunk a removed. In force.\n"
    assert switch.asked == ["POST /v1/reload"] * 5
    assert done(ivr("trunks", "--json")) == {"trunks": [], "note": switch_silent()}


def switch_silent() -> str:
    return "no ivr switch runs here, so nobody knows whether the trunks are up"


def test_the_password_is_kept_and_never_shown(ivr: Ivr, database_url: str) -> None:
    words = ("--proxy", "sip.a.example", "--username", "u")
    results = [
        ivr("trunks", "add", "a", *words, "--password-stdin", stdin="geheim\n"),
        ivr("trunks", "change", "a", "--priority", "1"),
        ivr("trunks"),
        ivr("trunks", "--json"),
        ivr("trunks", "change", "a", "--register", "--json"),
    ]
    assert all(r.exit_code == 0 and "geheim" not in r.output for r in results)
    engine = open_sync_engine(database_url)
    with engine.connect() as connection:
        assert [trunk.password for trunk in list_trunks(connection)] == ["geheim"]
    engine.dispose()


def test_a_password_comes_from_the_environment_or_is_missed(
    ivr: Ivr, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("trunks", "add", "a", "--proxy", "sip.a.example", "--register", "--username", "u")
    assert "--password-stdin" in refused(ivr(*words))
    monkeypatch.setenv("IVR_TRUNK_PASSWORD", "geheim")
    assert ivr(*words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("trunks", "add", "a"), "--proxy"),
        (("trunks", "add", "a b", "--proxy", "x"), "no name for a trunk"),
        (("trunks", "add", "a", "--proxy", "x y"), "no host"),
        (("trunks", "add", "a", "--proxy", "x", "--register"), "username"),
        (("trunks", "add", "a", "--proxy", "x", "--address", "y"), "no address"),
        (("trunks", "change", "a", "--priority", "1"), "no trunk 'a'"),
        (("trunks", "remove", "a"), "none yet"),
        (("trunks", "diagnose", "a"), "no trunk 'a'"),
        (("numbers", "add", "1", "--agent", "nobody"), "no agent nobody"),
        (("numbers", "add", "1", "--agent", "help", "--hours", "mon"), "without a time"),
        (("numbers", "add", "1", "--agent", "help", "--closed-to", "x"), "nobody to hand"),
        (("numbers", "remove", "1"), "no agent of its own"),
        (("extensions", "add", "1"), "2 to 6 digits"),
        (("extensions", "remove", "1001"), "no extension"),
        (("queues", "add", "q", "rubbish!"), "nobody to hand"),
        (("queues", "add", "q", "queue:p"), "is a queue"),
        (("queues", "add", "q", "1001", "--ring", "1"), "from 3 to 300"),
        (("queues", "remove", "q"), "no queue"),
        (("do-not-call", "add", "1001"), "no telephone number"),
        (("do-not-call", "remove", "1001"), "not on the list"),
        (("do-not-call", "import", "/no/such/file"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(ivr: Ivr, words: tuple[str, ...], says: str) -> None:
    assert says in refused(ivr(*words))


def test_a_name_is_not_taken_twice(ivr: Ivr) -> None:
    assert ivr("trunks", "add", "a", "--proxy", "x").exit_code == 0
    assert "there already" in refused(ivr("trunks", "add", "a", "--proxy", "y"))
    assert "Nothing to change" in refused(ivr("trunks", "change", "a"))


def test_without_a_switch_it_counts_when_one_starts(ivr: Ivr) -> None:
    result = ivr("trunks", "add", "a", "--proxy", "sip.a.example")
    assert "in force when it starts" in result.stdout and "no caller ID" in result.stdout
    assert done(ivr("numbers", "add", "*", "--agent", "help", "--json"))["in_force"] is False


def test_a_switch_that_refuses_does_not_hide_the_change(ivr: Ivr, switch: Switch) -> None:
    switch.answers["/v1/reload"] = (503, {"error": "Postgres is away"})
    result = ivr("trunks", "add", "a", "--proxy", "sip.a.example")
    assert result.exit_code == 0 and "Postgres is away" in result.stdout
    assert [t["name"] for t in done(ivr("trunks", "--json"))["trunks"]] == ["a"]


def test_the_state_comes_from_the_switch_or_is_unknown(ivr: Ivr, port: int) -> None:
    for name in ("up", "down", "off"):
        ivr("trunks", "add", name, "--proxy", "sip.a.example")
    ivr("trunks", "disable", "off")
    states = {t["name"]: t["state"] for t in done(ivr("trunks", "--json"))["trunks"]}
    assert states == {"up": "unknown", "down": "unknown", "off": "disabled"}
    switch = Switch(port)
    live = [
        {"name": "up", "state": "REGED", "up": True, "ping_ms": "12.5", "calls": 3},
        {"name": "down", "state": "FAIL_WAIT", "up": False, "ping_ms": "0", "calls": 0},
    ]
    switch.answers["/v1/trunks"] = (200, {"trunks": live})
    found = {t["name"]: t for t in done(ivr("trunks", "--json"))["trunks"]}
    table = ivr("trunks").stdout
    switch.close()
    assert (found["up"]["state"], found["up"]["calls"]) == ("REGED", 3)
    assert found["down"]["state"] == "down (FAIL_WAIT)" and "down (FAIL_WAIT)" in table
    assert found["off"]["state"] == "disabled"


def test_numbers(ivr: Ivr) -> None:
    added = done(
        ivr(
            "numbers", "add", "080 2222 3333", "--agent", "help", "--hours", "mon-fri 09:00-18:00",
            "--overflow-to", "queue:none", "--json",
        )
    )  # fmt: skip
    assert added["number"]["did"] == "+918022223333"
    assert any("no queue none yet" in note for note in added["notes"])
    assert any("--closed-text" in note for note in added["notes"])
    ivr("numbers", "add", "*", "--agent", "help")
    assert [n["did"] for n in done(ivr("numbers", "--json"))["numbers"]] == ["*", "+918022223333"]
    assert "every other" in ivr("numbers").stdout
    assert ivr("numbers", "remove", "918022223333").exit_code == 0
    assert len(done(ivr("numbers", "--json"))["numbers"]) == 1


def test_an_extension_gets_a_password_that_is_not_kept(
    ivr: Ivr, database_url: str, tmp_path: Path
) -> None:
    site = tmp_path / "freeswitch" / "site"
    site.mkdir(parents=True)
    line = '<X-PRE-PROCESS cmd="set" data="domain=phones.example"/>'
    (site / "vars.xml").write_text(f"<include>\n  {line}\n</include>\n")
    added = done(ivr("extensions", "add", "1001", "--name", "Asha", "--json"))
    assert added["domain"] == "phones.example" and len(added["password"]) == 20
    expected = hashlib.md5(f"1001:phones.example:{added['password']}".encode()).hexdigest()
    engine = open_sync_engine(database_url)
    with engine.connect() as connection:
        assert [e.a1_hash for e in list_extensions(connection)] == [expected]
    engine.dispose()
    listed = ivr("extensions", "--json")
    assert done(listed)["extensions"] == [{"extension": "1001", "name": "Asha", "enabled": True}]
    assert expected not in listed.output and "Asha" in ivr("extensions").stdout
    again = ivr("extensions", "add", "1001").stdout
    assert added["password"] not in again and "shown this once" in again


def test_queues_and_what_still_points_at_them(ivr: Ivr) -> None:
    ivr("extensions", "add", "1001")
    added = done(ivr("queues", "add", "help", "1001", "1002", "--strategy", "order", "--json"))
    assert added["queue"]["members"] == ["1001", "1002"]
    assert any("no extension 1002" in note for note in added["notes"])
    ivr("numbers", "add", "5", "--agent", "help", "--closed-to", "queue:help")
    removed = done(ivr("extensions", "remove", "1001", "--json"))
    assert "queue help still has 1001" in removed["notes"][0]
    assert "1001, 1002" in ivr("queues").stdout
    assert "number 5 still hands" in ivr("queues", "remove", "help").stdout
    assert done(ivr("queues", "--json")) == {"queues": []}


def test_the_do_not_call_list(ivr: Ivr, tmp_path: Path) -> None:
    words = ("do-not-call", "add", "9876543210", "+919876543210", "--reason", "asked", "--json")
    assert done(ivr(*words)) == {"action": "added", "added": 1, "given": 2}
    file = tmp_path / "list.csv"
    file.write_text('\ufeffPhone,Name\n98765 43211,"A, B"\n\n+919876543212,C\n', encoding="utf-8")
    assert done(ivr("do-not-call", "import", str(file), "--json"))["added"] == 2
    entries = done(ivr("do-not-call", "--json"))["do_not_call"]
    assert {e["number"]: e["reason"] for e in entries} == {
        "+919876543210": "asked", "+919876543211": "imported", "+919876543212": "imported",
    }  # fmt: skip
    assert ivr("do-not-call", "remove", "09876543210").exit_code == 0
    assert "+919876543210" not in ivr("do-not-call").stdout


def test_a_file_with_a_wrong_line_adds_nothing(ivr: Ivr, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("9876543211\n1001\n9876543212\nrubbish\n")
    assert (
        "2 lines" in (said := refused(ivr("do-not-call", "import", str(file)))) and "2, 4" in said
    )
    file.write_bytes(b"\xff\xfe9876")
    assert "cannot be read" in refused(ivr("do-not-call", "import", str(file)))
    file.write_text("Phone\n")
    assert "no telephone number" in refused(ivr("do-not-call", "import", str(file)))
    assert done(ivr("do-not-call", "--json")) == {"do_not_call": []}


@pytest.mark.parametrize(
    "words",
    [
        ("trunks",), ("trunks", "add"), ("trunks", "change"), ("trunks", "remove"),
        ("trunks", "enable"), ("trunks", "disable"), ("trunks", "diagnose"), ("numbers",),
        ("numbers", "add"), ("numbers", "remove"), ("extensions",), ("extensions", "add"),
        ("extensions", "remove"), ("queues",), ("queues", "add"), ("queues", "remove"),
        ("do-not-call",), ("do-not-call", "add"), ("do-not-call", "remove"),
        ("do-not-call", "import"),
    ],
)  # fmt: skip
def test_every_command_has_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0 and "Example: ivr " + " ".join(words) in result.output
