"""One file by HTTP from a server that breaks off, changes, lies or is not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tinyserver import tiny

from appliance.checkpoints import download as downloads
from appliance.checkpoints.download import Gone, Refused, Wanted, download, timeouts
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from tests.model_hub import Hub, serving

DATA = os.urandom(900_000)
PAUSE_S = 0.001


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        hub.files["/f"] = DATA
        yield hub


async def fetch(hub: Hub, target: Path, *, size: int = 0, sha256: str = "") -> list[int]:
    told: list[int] = []
    async with aiohttp.ClientSession(timeout=timeouts()) as session:
        wanted = Wanted(f"{hub.url}/f", target, size, sha256)
        await download(session, wanted, lambda there, total: told.append(there), pause_s=PAUSE_S)
    return told


async def test_a_file_comes_whole_and_checked(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "f"
    told = await fetch(hub, target, size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    assert target.read_bytes() == DATA
    assert told == sorted(told) and told[-1] == len(DATA)
    assert [path.name for path in target.parent.iterdir()] == ["f"]
    await fetch(hub, target)  # it is there
    assert hub.served == len(DATA)


async def test_a_cut_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 300_000, 2
    await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    first, second = (int(text[6:-1]) for text in hub.ranges)
    assert 0 < first <= 300_000 and first < second <= 600_000
    # what stood in the client's buffer when the connection broke comes twice, no more
    assert hub.served == len(DATA) + (300_000 - first) + (first + 300_000 - second)


async def test_what_came_stays_for_another_day(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 0, 1000  # nothing comes any more
    (tmp_path / "f.part").write_bytes(DATA[:200_000])
    (tmp_path / "f.etag").write_text(f'"{hashlib.md5(DATA).hexdigest()}"')
    with pytest.raises(UserError, match=r"broke off again and again.*200\.0 kB|0\.2 MB are here"):
        await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_size == 200_000
    hub.cuts = 0
    await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert hub.served == len(DATA) - 200_000


async def test_a_file_that_changed_meanwhile_is_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"of an older one" * 1000)
    (tmp_path / "f.etag").write_text('"older"')
    await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


async def test_a_part_of_unknown_version_is_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"?" * 1000)
    await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert hub.ranges == []


async def test_a_part_that_is_all_of_it_is_taken(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(DATA)
    (tmp_path / "f.etag").write_text(f'"{hashlib.md5(DATA).hexdigest()}"')
    await fetch(hub, tmp_path / "f", size=len(DATA))
    assert (tmp_path / "f").read_bytes() == DATA
    assert hub.served == 0


@pytest.mark.parametrize("promised", [{"sha256": "0" * 64}, {"size": 10}])
async def test_a_wrong_file_is_deleted_and_said(
    hub: Hub, tmp_path: Path, promised: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"wrong file.*promised"):
        await fetch(hub, tmp_path / "f", **promised)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_finds_no_end_is_cut_at_what_was_promised(tmp_path: Path) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while sent < 300_000_000:
                await response.write(bytes(100_000))
                sent += 100_000
        return response

    async with tiny("/f", endless) as server, aiohttp.ClientSession() as session:
        wanted = Wanted(f"{server.url}/f", tmp_path / "f", 500_000)
        with pytest.raises(UserError, match=r"longer than the 500000 bytes.*deleted"):
            await download(session, wanted, lambda *_: None, pause_s=PAUSE_S)
    assert sent < 50_000_000 and list(tmp_path.iterdir()) == []


async def test_a_file_of_unknown_size_leaves_room_on_the_disk(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def full(place: Path, size: int) -> None:
        looks.append(size)
        if len(looks) > 3:
            raise UserError("no room")

    monkeypatch.setattr(downloads, "require_room", full)
    monkeypatch.setattr(downloads, "LOOK_AGAIN_BYTES", 100_000)
    with pytest.raises(UserError, match="no room"):
        await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_size < len(DATA)


async def test_the_token_stays_with_its_host(tmp_path: Path) -> None:
    """A hub answers with a redirect to where its large files lie."""
    seen: list[str | None] = []

    async def file(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=b"weights")

    async with tiny("/f", file) as store:

        async def away(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Authorization"))
            raise web.HTTPFound(f"{store.url}/f")

        async with tiny("/f", away) as hub:
            headers = {"Authorization": "Bearer hf_secret"}
            async with aiohttp.ClientSession(headers=headers) as session:
                wanted = Wanted(f"{hub.url}/f", tmp_path / "f", 7)
                await download(session, wanted, lambda *_: None, pause_s=PAUSE_S)
    assert seen == ["Bearer hf_secret", None]
    assert (tmp_path / "f").read_bytes() == b"weights"


async def test_an_empty_file_is_a_file(hub: Hub, tmp_path: Path) -> None:
    hub.files["/f"] = b""
    await fetch(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b""


async def test_what_is_not_there_or_not_given_is_said(hub: Hub, tmp_path: Path) -> None:
    hub.token = "secret"
    with pytest.raises(Refused, match="HF_TOKEN"):
        await fetch(hub, tmp_path / "f")
    hub.token = ""
    hub.files.clear()
    with pytest.raises(Gone, match="answers 404"):
        await fetch(hub, tmp_path / "f")


async def test_no_network_is_said_with_the_way_round(tmp_path: Path) -> None:
    away = Hub(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Gone, match=r"cannot be reached.*--from FOLDER"):
        await fetch(away, tmp_path / "f")
