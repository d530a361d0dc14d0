"""Services and routes of calls: what is shown to whom, and what a hostile row or request gets."""

from __future__ import annotations

import csv
import io
import os
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.api.app import PREFIX
from appliance.admin.console import Console
from appliance.admin.csvtext import FORMULA_SIGNS, cell
from appliance.admin.services import callerasure, calls, recordings
from appliance.admin.services.recordings import ONE_LISTENING_S, Listenings, open_recording
from appliance.errors import UserError
from appliance.events import CallRecord, Redaction
from appliance.settings import Settings
from appliance.store.call_log import CallsWanted
from appliance.store.models import CallRow
from tests.calls_kit import EVIL, NOW, OTHER, a_call, a_flag, a_turn, put, record, two_tenants
from tests.console_kit import console_on
from tests.review_console_kit import the_api


def actor(role: Role = Role.ADMIN, tenant: str | None = "main", session: str = "s") -> Actor:
    return Actor(f"{role.value}-{tenant}", role, tenant, PERMISSIONS[role], session_id=session)


STRANGER = actor(tenant=OTHER)


@pytest_asyncio.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    settings = Settings(data_dir=tmp_path)
    await two_tenants(engine)
    async with console_on(engine, settings) as made:
        yield made


@pytest.fixture(autouse=True)
def _no_listening_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "_LISTENINGS", Listenings())


class Entered:
    """The API as if the gate had let ``actor`` in."""

    def __init__(self, app: ASGIApp, console: Console, actor: Actor) -> None:
        self._app, self._console, self._actor = app, console, actor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"console": self._console, "actor": self._actor}
        await self._app(scope, receive, send)


def client(console: Console, who: Actor) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Entered(the_api(), console, who))
    return httpx.AsyncClient(transport=transport, base_url=f"http://console{PREFIX}")


async def audited(engine: AsyncEngine) -> list[tuple[str, str]]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT action, subject FROM audit_log ORDER BY id"))
        return [(row[0], row[1]) for row in rows]


async def recorded(console: Console, call_id: str = "c1", **fields: object) -> CallRecord:
    call = record(console.settings.recordings_dir, a_call(call_id, **fields))
    await put(console.engine, a_turn(call, 1, 1500), a_turn(call, 2, 400), a_flag(call), call)
    return call


async def test_the_log_goes_on_page_by_page(console: Console) -> None:
    await put(console.engine, *(a_call(f"c{number}", number) for number in range(1, 8)))
    first = await calls.list_calls(console, actor(), CallsWanted(), limit=3)
    second = await calls.list_calls(console, actor(), CallsWanted(), first.next, limit=3)
    third = await calls.list_calls(console, actor(), CallsWanted(), second.next, limit=3)
    found = [one.call.call_id for page in (first, second, third) for one in page.calls]
    assert found == [f"c{number}" for number in range(1, 8)] and third.next == ""
    assert (await calls.count_calls(console, actor(), CallsWanted())).calls == 7


@given(st.text(max_size=60))
def test_a_cursor_of_strangers_is_refused_in_a_sentence(cursor: str) -> None:
    try:
        at = calls.read_cursor(cursor)
    except UserError as e:
        assert "first page" in str(e)
    else:
        assert at is None or at[0].tzinfo is not None


async def test_one_call_with_all_that_is_kept_of_it(console: Console) -> None:
    await recorded(console)
    view = await calls.read_call(console, actor(), "c1")
    assert [turn.index for turn in view.turns] == [1, 2]
    assert view.logged.flags == 1 and view.flags[0].flag.rule == "site.1"
    assert view.snapshot.agent_name == "Help" and view.snapshot.published_at is not None
    assert [one.part for one in view.recordings] == [1] and view.recording_trouble == ""
    sentences = [one.in_english() for one in calls.troubles_of(view)]
    assert sentences[0] == (
        "One answer came only after 1500 ms. Slowest stage: language model, 740 ms of it."
    )


async def test_another_tenants_call_is_nowhere(console: Console) -> None:
    await recorded(console)
    for ask in (
        calls.read_call(console, STRANGER, "c1"),
        calls.list_turns(console, STRANGER, "c1"),
        open_recording(console, STRANGER, "c1"),
        recordings.waveform(console, STRANGER, "c1"),
        callerasure.preview_erasure(console, STRANGER, "c1"),
        callerasure.erase_call(console, STRANGER, "c1", "c1"),
        callerasure.erase_caller(console, STRANGER, "c1", "+919876543210"),
    ):
        with pytest.raises(NotFoundError, match="no such call"):
            await ask
    async with client(console, STRANGER) as http:
        for path in ("", "/turns", "/recording", "/recording/download", "/waveform", "/erasure"):
            assert (await http.get(f"/calls/c1{path}")).status_code == 404
        assert (await http.delete("/calls/c1?confirm=c1")).status_code == 404
        assert (await http.get("/calls")).json()["calls"] == []
        assert "c1" not in (await http.get("/calls.csv")).text
    assert await audited(console.engine) == [("call.export", "")]


async def test_roles(console: Console) -> None:
    await recorded(console)
    viewer, reviewer = actor(Role.VIEWER), actor(Role.REVIEWER)
    await calls.read_call(console, viewer, "c1")
    with pytest.raises(ForbiddenError):
        await open_recording(console, viewer, "c1")
    with pytest.raises(ForbiddenError):
        await recordings.waveform(console, viewer, "c1")
    await open_recording(console, reviewer, "c1")
    with pytest.raises(ForbiddenError):
        await open_recording(console, reviewer, "c1", download=True)
    with pytest.raises(ForbiddenError):
        await callerasure.erase_call(console, reviewer, "c1", "c1")


async def test_a_recording_is_played_by_ranges_and_written_down_once(console: Console) -> None:
    call = await recorded(console)
    whole = (console.settings.recordings_dir / call.recording).read_bytes()
    async with client(console, actor()) as http:
        first = await http.get("/calls/c1/recording", headers={"Range": "bytes=0-99"})
        assert (first.status_code, first.content) == (206, whole[:100])
        assert first.headers["content-range"] == f"bytes 0-99/{len(whole)}"
        assert first.headers["content-type"] == "audio/wav"
        assert first.headers["cache-control"] == "private, no-store"
        later = await http.get("/calls/c1/recording", headers={"Range": "bytes=1000-"})
        assert later.content == whole[1000:]
        beyond = await http.get("/calls/c1/recording", headers={"Range": "bytes=99999999-"})
        assert beyond.status_code == 416
        all_of_it = await http.get("/calls/c1/recording")
        assert (all_of_it.status_code, all_of_it.content) == (200, whole)
        saved = await http.get("/calls/c1/recording/download")
        assert saved.headers["content-disposition"] == 'attachment; filename="c1.wav"'
    assert await audited(console.engine) == [
        ("recording.listen", "c1"),
        ("recording.download", "c1"),
    ]


async def test_each_person_and_each_session_listens_for_itself(console: Console) -> None:
    await recorded(console)
    for who in (actor(), actor(session="t"), actor(Role.REVIEWER), actor()):
        await open_recording(console, who, "c1")
    assert len(await audited(console.engine)) == 3


def test_a_listening_ends() -> None:
    listenings = Listenings()
    listenings.note(("a",), 0.0)
    assert not listenings.is_new(("a",), ONE_LISTENING_S)
    assert listenings.is_new(("a",), ONE_LISTENING_S + 1) and listenings.is_new(("b",), 1.0)


@pytest.mark.parametrize(
    "name",
    ["../outside/c1.wav", "/tmp/c1.wav", "a/../../outside/c1.wav", "outside", ".", "x\\c1.wav"],
)
async def test_a_row_that_names_a_file_elsewhere_leads_nowhere(console: Console, name: str) -> None:
    call = await recorded(console)
    source = console.settings.recordings_dir / call.recording
    outside = console.settings.data_dir / "outside"
    outside.mkdir()
    (outside / "c1.wav").write_bytes(source.read_bytes())
    source.unlink()
    async with console.engine.begin() as connection:
        await connection.execute(update(CallRow).values(recording=name))
    for ask in (
        open_recording(console, actor(), "c1"),
        recordings.waveform(console, actor(), "c1"),
    ):
        with pytest.raises(NotFoundError, match="not on this machine"):
            await ask
    view = await calls.read_call(console, actor(), "c1")
    assert view.recordings == () and "not on this machine" in view.recording_trouble
    assert await audited(console.engine) == []


async def test_no_link_and_no_pipe_is_followed(console: Console) -> None:
    call = await recorded(console)
    path = console.settings.recordings_dir / call.recording
    elsewhere = console.settings.data_dir / "elsewhere.wav"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(NotFoundError):
        await open_recording(console, actor(), "c1")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NotFoundError):
        await open_recording(console, actor(), "c1")
    path.unlink()
    folder = path.parent
    folder.rename(console.settings.data_dir / "day")
    (console.settings.data_dir / "day" / path.name).write_bytes(elsewhere.read_bytes())
    folder.symlink_to(console.settings.data_dir / "day")
    with pytest.raises(NotFoundError):
        await open_recording(console, actor(), "c1")


async def test_a_row_cannot_name_another_calls_recording(console: Console) -> None:
    victim = await recorded(console, "c1", agent_id="theirs")
    await put(console.engine, a_call("c2", recording=victim.recording))
    with pytest.raises(NotFoundError):
        await open_recording(console, actor(), "c2")


async def test_what_is_not_beeped_is_not_heard(console: Console) -> None:
    call = await recorded(console)
    await put(console.engine, Redaction("c1", "caller", call.recording, 0, 900, "card"))
    for ask in (
        open_recording(console, actor(), "c1"),
        recordings.waveform(console, actor(), "c1"),
    ):
        with pytest.raises(UserError, match="not beeped yet"):
            await ask
    async with client(console, actor()) as http:
        assert (await http.get("/calls/c1/recording")).status_code == 400
    async with console.engine.begin() as connection:
        await connection.execute(text("UPDATE redactions SET beeped_at = now()"))
    await open_recording(console, actor(), "c1")
    view = await calls.read_call(console, actor(), "c1")
    assert [span.kind for span in view.spans] == ["card"]


async def test_a_recording_is_heard_when_the_call_is_over_and_its_file_closed(
    console: Console,
) -> None:
    now = datetime.now(UTC)
    live = record(console.settings.recordings_dir, a_call("c1", 1, ended_at=None, ended_by=""))
    await put(console.engine, live)
    with pytest.raises(UserError, match="still going on"):
        await open_recording(console, actor(), "c1")
    await put(console.engine, replace(live, ended_at=now, ended_by="caller"))
    with pytest.raises(UserError, match="being finished"):
        await open_recording(console, actor(), "c1")
    await put(console.engine, replace(live, ended_at=now - timedelta(seconds=11)))
    await open_recording(console, actor(), "c1")


async def test_why_there_is_no_recording(console: Console) -> None:
    await put(console.engine, a_call("c1"), a_call("c2"))
    async with console.engine.begin() as connection:
        await connection.execute(
            update(CallRow).where(CallRow.call_id == "c2").values(recording_erased_at=NOW)
        )
    with pytest.raises(NotFoundError, match="not recorded"):
        await open_recording(console, actor(), "c1")
    with pytest.raises(NotFoundError, match="was erased on"):
        await open_recording(console, actor(), "c2")


async def test_a_call_in_two_parts_has_two_recordings(console: Console) -> None:
    folder = console.settings.recordings_dir
    record(folder, a_call("c1"), seconds=4)
    call = record(folder, a_call("c1", part=2), seconds=8, part=2)
    await put(console.engine, call)
    view = await calls.read_call(console, actor(), "c1")
    assert [one.part for one in view.recordings] == [1, 2]
    assert (await recordings.waveform(console, actor(), "c1")).duration_ms == 8000
    assert (await recordings.waveform(console, actor(), "c1", part=1)).duration_ms == 4000
    with pytest.raises(NotFoundError):
        await recordings.waveform(console, actor(), "c1", part=3)


async def test_the_waveform_is_that_of_the_file_as_it_is_now(console: Console) -> None:
    call = await recorded(console)
    async with client(console, actor()) as http:
        found = (await http.get("/calls/c1/waveform?buckets=10")).json()
        assert found["duration_ms"] == 20_000 and len(found["caller"]) == 20
        assert max(found["caller"][:10]) > 40 and max(found["caller"][10:]) == 0
        assert max(found["agent"][:10]) == 0 and max(found["agent"][10:]) > 40
        path = console.settings.recordings_dir / call.recording
        with wave.open(str(path), "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(8000)
            out.writeframes(bytes(4 * 8000))
        os.utime(path, ns=(1, 1))
        assert (await http.get("/calls/c1/waveform?buckets=10")).json()["duration_ms"] == 1000
        path.write_text("not a recording")
        broken = await http.get("/calls/c1/waveform")
        assert broken.status_code == 400 and "damaged" in broken.json()["error"]["message"]
        path.unlink()
        assert (await http.get("/calls/c1/waveform")).status_code == 404


async def test_csv_holds_no_formula(console: Console) -> None:
    hostile = ["=cmd|'/c calc'!A0", "+919876543210", "-2+3", "@SUM(1)", '"; DROP', EVIL, "a,b\nc"]
    await put(
        console.engine,
        *(a_call(f"c{n}", n + 1, caller=caller) for n, caller in enumerate(hostile)),
    )
    async with client(console, actor()) as http:
        answer = await http.get("/calls.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="calls.csv"'
    assert answer.content.startswith("\ufeffcall,began".encode())
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [row["caller"].lstrip("'") for row in rows] == hostile
    assert not any(value.startswith(FORMULA_SIGNS) for row in rows for value in row.values())
    assert rows[0]["seconds"] == "120.0" and rows[0]["outcome"] == "caller"
    assert await audited(console.engine) == [("call.export", "")]


@given(st.text() | st.none() | st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_no_text_becomes_a_formula(value: str | float | None) -> None:
    shown = cell(value)
    assert not isinstance(value, str) or not shown.startswith(FORMULA_SIGNS)
    assert "\0" not in shown


async def test_the_export_goes_past_one_page_and_stops_at_its_bound(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_ROWS", 3)
    monkeypatch.setattr(calls, "EXPORT_PAGE_ROWS", 4)
    await put(console.engine, *(a_call(f"c{number:02}", number) for number in range(1, 13)))

    async def exported() -> list[str]:
        pieces = await calls.export_calls(console, actor(), CallsWanted())
        whole = b"".join([piece async for piece in pieces]).decode("utf-8-sig")
        return [row["call"] for row in csv.DictReader(io.StringIO(whole))]

    assert await exported() == [f"c{number:02}" for number in range(1, 13)]
    monkeypatch.setattr(calls, "MOST_EXPORTED", 9)
    assert len(await exported()) == 9


async def test_the_audit_log_tells_no_number_that_was_searched_for(console: Console) -> None:
    await calls.export_calls(console, actor(), CallsWanted(number="98765", language="hi"))
    async with console.engine.connect() as connection:
        detail = await connection.scalar(text("SELECT detail FROM audit_log"))
    assert detail == {"language": "hi"}


async def test_erasing_a_call_asks_twice(console: Console) -> None:
    call = await recorded(console)
    await recorded(console, "c2")
    async with client(console, actor()) as http:
        preview = (await http.get("/calls/c1/erasure")).json()
        assert preview == {"call_id": "c1", "number": "+919876543210", "calls": 2}
        assert (await http.delete("/calls/c1")).status_code == 422
        assert (await http.delete("/calls/c1?confirm=c2")).status_code == 400
        done = (await http.delete("/calls/c1?confirm=c1")).json()
        assert (done["calls"], done["files"], done["left"]) == (1, 1, 0)
        assert (await http.get("/calls/c1")).status_code == 404
        assert (await http.get("/calls/c2")).status_code == 200
    assert not (console.settings.recordings_dir / call.recording).exists()
    assert await audited(console.engine) == [("call.erase", "c1")]
    async with console.engine.connect() as connection:
        row = (await connection.execute(text("SELECT what, asked_by, calls FROM erasures"))).one()
    assert tuple(row) == ("call", "admin-main", 1)


async def test_a_live_call_is_not_erased(console: Console) -> None:
    await put(console.engine, a_call("c1", 1, ended_at=None, ended_by="", cause=""))
    with pytest.raises(UserError, match="still going on"):
        await callerasure.erase_call(console, actor(), "c1", "c1")


async def test_erasing_a_caller_takes_the_calls_of_ones_own_tenant(console: Console) -> None:
    await recorded(console, "c1")
    await recorded(console, "c2", caller="09876543210")
    theirs = await recorded(console, "c3", agent_id="theirs")
    with pytest.raises(UserError, match="repeat their number"):
        await callerasure.erase_caller(console, actor(), "c1", "+91")
    done = await callerasure.erase_caller(console, actor(), "c1", "+919876543210")
    assert (done.calls, done.files, done.left) == (2, 2, 0)
    assert (console.settings.recordings_dir / theirs.recording).exists()
    await calls.read_call(console, STRANGER, "c3")
    operator = actor(Role.OPERATOR, None)
    done = await callerasure.erase_caller(console, operator, "c3", "+919876543210")
    assert (done.calls, done.left) == (1, 0)
    async with console.engine.connect() as connection:
        details = await connection.scalars(text("SELECT detail::text FROM audit_log"))
        assert not any("98765" in detail for detail in details)


async def test_hostile_requests_get_a_sentence(console: Console) -> None:
    await recorded(console)
    async with client(console, actor()) as http:
        for path in (
            "/calls?number=%00", "/calls?cursor=%FF", "/calls?cursor=AAAA", "/calls?limit=0",
            "/calls?outcome=x", "/calls?slower_than_ms=99999999999", "/calls?since=yesterday",
            "/calls/c%00", "/calls/..%2F..%2Fetc%2Fpasswd", "/calls/c1/waveform?from_ms=-1",
            "/calls/c1/recording?part=1000", "/calls/' OR 1=1 --",
        ):  # fmt: skip
            answer = await http.get(path)
            assert answer.status_code in (400, 404, 422), path
            assert answer.json()["error" if "error" in answer.json() else "detail"], path
        assert (
            await http.get("/calls?since=0001-01-01&until=9999-12-31T23:59:59")
        ).status_code == 200
        reversed_window = await http.get("/calls/c1/waveform?from_ms=900&to_ms=100")
        assert reversed_window.status_code == 200 and reversed_window.json()["caller"] == []
