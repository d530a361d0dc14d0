"""Checks of Postgres, Redis, engines, event socket and certificate, each real and broken in turn."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.ops.doctor.check import State
from appliance.ops.doctor.numbers import STUCK_S
from appliance.settings import EVENT_SOCKET_SECRET, Settings
from appliance.store.database import unmigrate
from appliance.store.schema import head_of
from appliance.telephony.eventprobe import MODULES, SHIPPED_PASSWORD
from tests.doctor_kit import look, trouble
from tests.redis_server import RedisProcess


def on(database_url: str, folder: Path) -> Settings:
    return Settings.model_validate({"data_dir": folder, "database": {"url": database_url}})


# --- Postgres -------------------------------------------------------------------------------------


async def test_tables_that_are_behind(database_url: str, tmp_path: Path) -> None:
    settings = on(database_url, tmp_path)
    assert [f.state for f in await look(settings, "schema")] == [State.GOOD]
    await asyncio.to_thread(unmigrate, database_url, "-1")
    found = await trouble(settings, "schema")
    assert head_of() in found.told and "ivr db upgrade" in found.advice


async def test_a_database_without_tables(empty_database_url: str, tmp_path: Path) -> None:
    settings = on(empty_database_url, tmp_path)
    assert (await trouble(settings, "schema")).code == "no-tables"
    assert [f.state for f in await look(settings, "postgres")] == [State.GOOD]
    assert [f.state for f in await look(settings, "numbers")] == [State.SKIPPED]


async def test_a_database_that_is_away(tmp_path: Path) -> None:
    settings = on("postgresql://u:p@127.0.0.1:9/x", tmp_path)
    assert (await trouble(settings, "database")).code == "database-away"
    (found,) = await look(settings, "schema")
    assert found.state is State.SKIPPED and "p@" not in found.told


async def test_numbers_that_lead_nowhere(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    settings = on(database_url, tmp_path)
    assert (await trouble(settings, "numbers")).code == "no-number"
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO agents (id, name) VALUES ('draft', 'Draft')"))
        await connection.execute(
            text("INSERT INTO numbers (did, agent_id) VALUES ('4321', 'draft')")
        )
    found = await trouble(settings, "numbers")
    assert found.code == "number-nowhere" and "4321 (draft)" in found.told


async def test_rows_that_nobody_ships(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.spool_dir.mkdir()
    (settings.spool_dir / "1-new.jsonl").write_text("row\n")
    assert [f.state for f in await look(settings, "spool")] == [State.GOOD]
    old = settings.spool_dir / "2-old.jsonl"
    old.write_text("row\n")
    os.utime(old, (time.time() - 2 * STUCK_S,) * 2)
    assert "1 files" in (await trouble(settings, "spool")).told


# --- Redis ----------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path / "redis")
    process.start()
    yield process
    process.kill()


async def test_redis_with_without_and_with_the_wrong_password(redis: RedisProcess) -> None:
    settings = redis.settings
    assert [f.state for f in await look(settings, "redis")] == [State.GOOD]
    (settings.secrets_dir / "redis").write_text("another")
    assert (await trouble(settings, "redis")).code == "redis-password"
    (settings.secrets_dir / "redis").write_text(redis.url.split(":")[2].split("@")[0])
    with redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert (await trouble(settings, "redis")).code == "redis-evicts"
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("requirepass", "")
    codes = {f.code for f in await look(settings, "redis")}
    assert "redis-open" in codes
    redis.kill()
    assert [f.state for f in await look(settings, "redis")] == [State.SKIPPED]


# --- engines --------------------------------------------------------------------------------------


@asynccontextmanager
async def server(answers: dict[str, Any]) -> AsyncIterator[str]:
    """A server that says it is well, and answers as it is told; its URL."""
    app = web.Application()

    def answer(said: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            if said is None:
                await asyncio.sleep(60)
            return said if isinstance(said, web.Response) else web.json_response(said)

        return handle

    for path, said in ({"/health": {"engine": "odd", "status": "ok"}} | answers).items():
        app.router.add_route("*", path, answer(said))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def engines(folder: Path, **urls: str) -> Settings:
    stages = {stage: {"urls": [url]} for stage, url in urls.items()}
    return Settings.model_validate({"data_dir": folder, "engines": stages})


async def test_a_voice_that_is_well_and_says_nothing(tmp_path: Path) -> None:
    voices = {"voices": [{"id": "x", "language": "en"}]}
    silence = web.Response(body=bytes(16_000))
    async with server({"/v1/voices": voices, "/v1/audio/speech": silence}) as url:
        settings = engines(tmp_path, tts=url)
        away = {f.values["stage"] for f in await look(settings, "servers")}
        assert "tts" not in away and "stt" in away, "by /health alone the voice is well"
        found = await trouble(settings, "voices")
    assert (
        found.state is State.BAD and "no speech: it is silent" in found.told and url in found.told
    )


async def test_a_voice_that_refuses(tmp_path: Path) -> None:
    voices = {"voices": [{"id": "x", "language": "en"}]}
    refusal = web.json_response({"error": {"message": "out of memory"}}, status=500)
    async with server({"/v1/voices": voices, "/v1/audio/speech": refusal}) as url:
        found = await trouble(engines(tmp_path, tts=url), "voices")
    assert found.state is State.BAD and "500: out of memory" in found.told


async def test_embeddings_that_know_nothing_and_those_that_never_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance.ops.doctor import engines as checks

    same = {"data": [{"embedding": [1.0, 0.0]}] * 3}
    async with server({"/v1/embeddings": same}) as url:
        assert (await trouble(engines(tmp_path, embed=url), "embeddings")).state is State.WARNING
    async with server({"/v1/embeddings": {"other": 1}}) as url:
        found = await trouble(engines(tmp_path, embed=url), "embeddings")
        assert (
            found.state is State.BAD and "answers /health, but not what it is asked" in found.told
        )
    monkeypatch.setattr(checks, "ASK_TIMEOUT_S", 0.3)
    async with server({"/v1/embeddings": None}) as url:
        found = await trouble(engines(tmp_path, embed=url), "embeddings")
        assert found.state is State.BAD and "answers /health, but not in" in found.told


async def test_an_end_of_turn_that_is_no_probability(tmp_path: Path) -> None:
    async with server({"/v1/turn": {"complete": 7}}) as url:
        (found,) = await look(engines(tmp_path, turn=url), "turns")
    assert found.state is State.BAD and "no probability" in found.told


async def test_a_language_model_that_writes_and_one_that_does_not(tmp_path: Path) -> None:
    def said(content: str) -> dict[str, Any]:
        message = {"choices": [{"message": {"content": content}}]}
        return {"/v1/models": {"data": [{"id": "m"}]}, "/v1/chat/completions": message}

    async with server(said("Blue.")) as url:
        (found,) = await look(engines(tmp_path, llm=url), "language-model")
        assert found.state is State.GOOD
    async with server(said(" ")) as url:
        assert (await trouble(engines(tmp_path, llm=url), "language-model")).state is State.BAD


async def test_a_model_that_is_not_here(tmp_path: Path) -> None:
    run = [{"engine": "faster-whisper", "model": "nothing-like-it"}]
    settings = Settings.model_validate({"data_dir": tmp_path, "engines": {"stt": {"run": run}}})
    (found,) = [f for f in await look(settings, "models") if f.state is State.BAD]
    assert "engines.stt.run" in found.told and "nothing-like-it" in found.told


# --- FreeSWITCH's event socket --------------------------------------------------------------------


@contextmanager
def event_socket(password: str, missing: str = "") -> Iterator[int]:
    """What FreeSWITCH says to auth and api, for as many clients as come; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def serve() -> None:
            while True:
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                with peer:
                    _serve_one(peer, password, missing)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def _serve_one(peer: socket.socket, password: str, missing: str) -> None:
    peer.sendall(b"Content-Type: auth/request\n\n")
    with peer.makefile("rb") as lines:
        for line in lines:
            command = line.decode().strip()
            if command.startswith("auth "):
                right = command == f"auth {password}"
                said = "+OK accepted" if right else "-ERR invalid"
                peer.sendall(f"Content-Type: command/reply\nReply-Text: {said}\n\n".encode())
            elif command:
                body = "FreeSWITCH Version 1.10.12\n"
                if "module_exists" in command:
                    body = "false" if command.endswith(missing or "?") else "true"
                head = f"Content-Type: api/response\nContent-Length: {len(body)}\n\n"
                peer.sendall((head + body).encode())


async def test_the_event_socket(tmp_path: Path) -> None:
    def settings(port: int) -> Settings:
        conf = tmp_path / "freeswitch"
        (conf / "site").mkdir(parents=True, exist_ok=True)
        switch = {"esl_port": port, "conf_dir": conf, "api_port": 9}
        return Settings.model_validate({"data_dir": tmp_path, "switch": switch})

    ours = settings(9).secret(EVENT_SOCKET_SECRET)
    with event_socket(ours) as port:
        (found,) = await look(settings(port), "event-socket")
        assert found.state is State.GOOD and "1.10.12" in found.told
    with event_socket(ours, missing=MODULES[1]) as port:
        found = await trouble(settings(port), "event-socket")
        assert found.code == "module-missing" and "mod_audio_stream" in found.told
    with event_socket(SHIPPED_PASSWORD) as port:
        assert (await trouble(settings(port), "event-socket")).code == "default-password"
    with event_socket("another") as port:
        assert (await trouble(settings(port), "event-socket")).code == "event-socket-password"
    assert "does not answer" in (await trouble(settings(9), "event-socket")).told


# --- the console ----------------------------------------------------------------------------------


def certificate(folder: Path, days: int) -> Path:
    """A certificate that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "console")])
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days, hours=1)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(ends - datetime.timedelta(days=400)).not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "console.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return file


async def test_a_certificate_that_has_ended_or_soon_will(tmp_path: Path) -> None:
    def settings(days: int) -> Settings:
        admin = {"certificate": str(certificate(tmp_path, days)), "key": str(tmp_path / "key")}
        return Settings.model_validate({"data_dir": tmp_path, "admin": admin})

    (found,) = await look(settings(300), "certificate")
    assert found.state is State.GOOD
    found = await trouble(settings(-1), "certificate")
    assert found.state is State.BAD and "admin.certificate" in found.advice
    assert (await trouble(settings(3), "certificate")).state is State.WARNING


async def test_nobody_can_log_in(engine: AsyncEngine, database_url: str, tmp_path: Path) -> None:
    settings = on(database_url, tmp_path)
    assert (await trouble(settings, "users")).code == "no-operator"
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO users (login, name, role, language, password_hash, totp_secret)"
                " VALUES ('asha', 'Asha', 'operator', 'en', 'x', '')"
            )
        )
    found = await trouble(settings, "users")
    assert found.code == "no-second-factor" and "asha" in found.told
