"""Engine servers are told what they need, and nobody's password."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops import enginesettings
from appliance.ops.keeping.ports import free_port
from appliance.settings import ENV_PREFIX, Settings, load

PASSWORDS = ("db-pw", "redis-pw", "sip-pw", "guard-pw", "foreign-pw")


def site(folder: Path) -> Settings:
    """Settings with a password wherever there can be one."""
    turn = [{"engine": "smart-turn", "port": free_port()}]
    return Settings.model_validate(
        {
            "data_dir": folder / "var",
            "database": {"url": "postgresql://ivr:db-pw@10.0.0.9/ivr"},
            "redis": {"url": "redis://:redis-pw@10.0.0.9/0"},
            "sip": {"username": "u", "password": "sip-pw"},
            "guard": {"url": "http://10.0.0.9/v1", "api_key": "guard-pw"},
            "capacity": {"holidays": {"2026-11-08": "sun"}},
            "engines": {
                "stt": {"urls": ["ws://x:1"], "prefer": {"hi": ['a"b\\c'], "*": ["\x7f\n"]}},
                "turn": {"run": turn, "api_key": "own-key"},
                "llm": {"urls": ["https://llm.example"], "api_key": "foreign-pw", "model": "हिन्दी"},
            },
        }
    )


def test_all_that_engines_need_and_no_password(tmp_path: Path) -> None:
    settings, file = site(tmp_path), tmp_path / "run" / "engines.toml"
    enginesettings.write(settings, file)
    text = file.read_text()
    assert not any(password in text for password in PASSWORDS)
    assert file.stat().st_mode & 0o777 == 0o600
    read = load(file, environ={})
    assert read.data_dir == settings.data_dir.absolute() and read.capacity == settings.capacity
    assert (read.cluster, read.metrics, read.log) == (
        settings.cluster, settings.metrics, settings.log,
    )  # fmt: skip
    assert read.engines.turn == settings.engines.turn  # its key with it
    assert read.engines.stt == settings.engines.stt
    llm = settings.engines.llm.model_copy(update={"api_key": ""})
    assert read.engines.llm == llm
    assert not read.database.url and not read.redis.url and not read.guard.url


def test_the_key_is_made_where_it_is_needed(tmp_path: Path) -> None:
    enginesettings.write(Settings(data_dir=tmp_path / "a"), tmp_path / "a.toml")
    assert (tmp_path / "a" / "secrets" / "engines").stat().st_mode & 0o777 == 0o600
    named = {"data_dir": tmp_path / "b", "engines": {"key": "named"}}
    enginesettings.write(Settings.model_validate(named), tmp_path / "b.toml")
    assert not (tmp_path / "b").exists() and "named" in (tmp_path / "b.toml").read_text()
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        enginesettings.write(Settings(data_dir=tmp_path / "a"), tmp_path / "in-the-way" / "x.toml")


@pytest.mark.server
def test_a_real_server_started_by_it_has_no_password_anywhere(tmp_path: Path) -> None:
    """Its environment, and whatever file it has open or was told of."""
    settings = site(tmp_path)
    own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
    source, file = tmp_path / "ivr.toml", tmp_path / "engines.toml"
    port = settings.engines.turn.places()[0].port
    source.write_text(
        f'data_dir = "{settings.data_dir}"\n[database]\nurl = "{settings.database.url}"\n'
        f'[engines.turn]\nrun = [{{engine = "smart-turn", port = {port}}}]\n'
        '[engines.stt]\nurls = ["ws://x:1"]\n[metrics]\npools_port = 0\n'
    )
    made = CliRunner().invoke(main, ["--settings", str(source), "pools", "settings", str(file)])
    assert made.exit_code == 0, made.output
    environment = own | {"IVR_SETTINGS": str(file)}
    command = [sys.executable, "-m", "appliance", "pools", "--no-plan", "--stage", "turn"]
    with (tmp_path / "log").open("wb") as log:
        pools = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        server = _server(pools, settings, command[:4], environment)
        for pid in (pools.pid, server):
            told = (
                Path(f"/proc/{pid}/environ").read_bytes()
                + Path(f"/proc/{pid}/cmdline").read_bytes()
            )
            assert b"db-pw" not in told and str(source).encode() not in told
            opened = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
            assert str(source) not in opened
        assert "no new plan" not in (tmp_path / "log").read_text()
    finally:
        pools.send_signal(signal.SIGTERM)
        assert pools.wait(20) == 0


def _server(
    pools: subprocess.Popen[bytes],
    settings: Settings,
    command: list[str],
    environment: dict[str, str],
) -> int:
    """The pid of the engine server, once it is warm."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert pools.poll() is None
        state = settings.data_dir / "pools.json"
        found = orjson.loads(state.read_bytes()) if state.exists() else {"pools": []}
        for pool in found["pools"]:
            for server in pool["servers"]:
                if server["state"] == "warm":
                    return int(server["pid"])
        time.sleep(0.1)
    raise AssertionError("it did not come up")
