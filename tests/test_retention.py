"""appliance/privacy: what is too old, or asked to go, is erased from rows and disk, and proven so."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.__main__ import main
from appliance.audio import read_wav, write_wav
from appliance.errors import UserError
from appliance.events import Agent, CallRecord, Flag, Redaction, Stages, Turn
from appliance.privacy.beeping import beep_pending
from appliance.privacy.erasure import erase_caller, forms_of, key_of
from appliance.privacy.recordings import files_of, path_of
from appliance.privacy.retention import Kept, erase_old, kept
from appliance.settings import Database, Retention, Settings
from appliance.store.agents import publish_agent
from appliance.store.cached_answers import CachedAnswer, keep_answer, list_answers, wording_of
from appliance.store.campaigns import NewContact, add_contacts, create_campaign, list_contacts
from appliance.store.erasing import Days
from appliance.store.models import CallRow, DoNotCallRow, LegRow, OutboundRow, TurnRow
from appliance.store.outreach_models import ContactRow
from appliance.store.review_models import ErasureRow, FlagRow, RedactionRow
from appliance.store.rows import upsert
from appliance.store.shipper import QUARANTINE
from appliance.store.spool import SUFFIX

pytestmark = pytest.mark.server

NOW = datetime.now(UTC)
NUMBER = "+919876543210"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Recordings are kept 10 days, words 20, rows 30."""
    days = Retention(recordings_days=10, transcripts_days=20, log_days=30)
    made = Settings(data_dir=tmp_path, database=Database(url=database_url), retention=days)
    made.recordings_dir.mkdir()
    return made


class Site:
    """Calls of one site, some of them old."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings

    async def call(self, call_id: str, days_ago: float, **fields: Any) -> Path:
        """A call with two turns, a flag, a span, a leg and a recording; returns its file."""
        at = NOW - timedelta(days=days_ago)
        name = fields.pop("recording", f"{at:%Y/%m/%d}/{call_id}.wav")
        fields = {
            "did": "1001", "caller": NUMBER, "agent_id": "help", "agent_version": 1,
            "language": "en", "ended_at": at + timedelta(minutes=3), "ended_by": "caller",
            "turns": 2, "summary": "Wants a plan.", "memory": "Asha calls.",
            "facts": {"name": "Asha"},
        } | fields  # fmt: skip
        record = CallRecord(call_id, started_at=at, recording=name, **fields)
        turns = [
            Turn(call_id, index, at, "a question", "an answer", "an answer", "llm", Stages(), 400)
            for index in (1, 2)
        ]
        flag = Flag(
            f"flag-{call_id}", at, call_id, 1, "help", 1, "", 0, "guard", "caller", "rude", "abuse",
            "low", "flagged", "a word", "a question", "an answer",
        )  # fmt: skip
        span = Redaction(call_id, "caller", name, 100, 300, "otp")
        async with self.engine.begin() as connection:
            await upsert(connection, [record, *turns, flag, span])
            leg = {
                "leg_id": f"leg-{call_id}", "call_id": call_id, "kind": "caller",
                "caller": fields["caller"], "callee": "1001", "started_at": at,
            }  # fmt: skip
            await connection.execute(insert(LegRow), [leg])
        path = self.settings.recordings_dir / name
        if path.is_relative_to(self.settings.recordings_dir) and ".." not in name and name:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, [b"\x10\x10" * 8000, b"\x20\x20" * 8000], 8000)
            os.utime(path, (at.timestamp(), at.timestamp()))
        return path

    async def row(self, call_id: str) -> dict[str, Any] | None:
        async with self.engine.connect() as connection:
            query = select(*CallRow.__table__.columns).where(CallRow.call_id == call_id)
            found = (await connection.execute(query)).mappings().one_or_none()
        return dict(found) if found else None

    async def count(self, table: Any, *where: Any) -> int:
        async with self.engine.connect() as connection:
            query = select(func.count()).select_from(table).where(*where)
            return int(await connection.scalar(query) or 0)

    async def words(self, call_id: str) -> set[str]:
        async with self.engine.connect() as connection:
            query = select(TurnRow.said, TurnRow.reply, TurnRow.heard)
            rows = await connection.execute(query.where(TurnRow.call_id == call_id))
        return {word for row in rows for word in row}


@pytest.fixture
def site(engine: AsyncEngine, settings: Settings) -> Site:
    return Site(engine, settings)


# --- how long -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "result"),
    [
        (Days("a", 0, 0, 0), Kept("a", 10, 20, 30)),
        (Days("a", 1, 2, 3), Kept("a", 1, 2, 3)),
        (Days("a", 0, 0, 5), Kept("a", 5, 5, 5)),
    ],
)
def test_an_agent_s_days_go_first_and_nothing_outlives_the_row(days: Days, result: Kept) -> None:
    assert kept(days, Retention(recordings_days=10, transcripts_days=20, log_days=30)) == result


def test_0_is_for_ever() -> None:
    for_ever = Retention(recordings_days=0, transcripts_days=0, log_days=0)
    assert kept(Days("a", 0, 0, 0), for_ever) == Kept("a", 0, 0, 0)
    assert kept(Days("a", 0, 7, 0), for_ever) == Kept("a", 0, 7, 0)


# --- erasing what is old --------------------------------------------------------------------------


async def test_recordings_then_words_then_rows(site: Site) -> None:
    files = {f"d{days}": await site.call(f"d{days}", days) for days in (5, 15, 25, 35)}
    lines = await erase_old(site.engine, site.settings)
    assert [name for name, path in files.items() if path.exists()] == ["d5"]
    fresh, no_sound, no_words = [await site.row(f"d{days}") for days in (5, 15, 25)]
    assert fresh is not None and fresh["recording"] and fresh["recording_erased_at"] is None
    assert no_sound is not None and no_sound["recording"] == ""
    assert no_sound["recording_erased_at"] and no_sound["summary"]
    assert await site.words("d15") == {"a question", "an answer"}
    assert no_words is not None and no_words["transcript_erased_at"]
    assert (no_words["summary"], no_words["memory"], no_words["facts"]) == ("", "", {})
    assert await site.words("d25") == {""}
    assert await site.count(FlagRow, FlagRow.call_id == "d25", FlagRow.phrase == "") == 1
    assert await site.row("d35") is None
    for table in (TurnRow, FlagRow, RedactionRow, LegRow):
        assert await site.count(table, table.call_id == "d35") == 0
    assert all(line.left == 0 for line in lines)
    async with site.engine.connect() as connection:
        proof = (await connection.execute(select(*ErasureRow.__table__.columns))).mappings().all()
    totals = {row["what"]: row for row in proof if row["note"] == "all agents"}
    assert {what: (row["calls"], row["left"]) for what, row in totals.items()} == {
        "recordings": (3, 0), "transcripts": (2, 0), "log": (1, 0),
    }  # fmt: skip
    assert totals["recordings"]["files"] == 3


async def test_a_second_run_finds_nothing(site: Site) -> None:
    await site.call("old", 25)
    await erase_old(site.engine, site.settings)
    again = await erase_old(site.engine, site.settings)
    assert all((line.calls, line.files, line.rows, line.left) == (0, 0, 0, 0) for line in again)
    assert [line.note for line in again] == ["all agents"] * 3


async def test_a_dry_run_counts_and_erases_nothing(site: Site) -> None:
    path = await site.call("old", 35)
    lines = await erase_old(site.engine, site.settings, dry_run=True)
    assert path.exists() and await site.words("old") == {"a question", "an answer"}
    assert {line.what: line.calls for line in lines if line.agent_id} == {
        "recordings": 1, "transcripts": 1, "log": 1,
    }  # fmt: skip
    assert await site.count(ErasureRow) == 0


async def test_the_days_are_those_of_the_agents_latest_version(site: Site) -> None:
    for days in (100, 2):
        await publish_agent(site.engine, Agent("short", 1, "Short", keep_recordings_days=days))
    mine = await site.call("mine", 5, agent_id="short")
    other = await site.call("other", 5)
    await erase_old(site.engine, site.settings)
    assert not mine.exists() and other.exists()


async def test_more_calls_than_fit_in_one_batch(site: Site) -> None:
    async with site.engine.begin() as connection:
        for index in range(1203):
            at = NOW - timedelta(days=40, seconds=index % 7)
            await upsert(
                connection,
                [CallRecord(f"c{index}", "1", "+911", "help", 1, "en", at, at)],
            )
    lines = await erase_old(site.engine, site.settings)
    assert await site.count(CallRow) == 0
    assert next(line for line in lines if line.what == "log").calls == 1203


async def test_rows_that_came_late_are_erased_by_the_next_run(site: Site) -> None:
    await site.call("old", 25)
    await erase_old(site.engine, site.settings)
    late = Turn("old", 3, NOW, "late words", "", "", "llm", Stages(), None)
    async with site.engine.begin() as connection:
        await upsert(connection, [late])
    await erase_old(site.engine, site.settings)
    assert await site.words("old") == {""}


async def test_a_live_call_is_left_alone(site: Site) -> None:
    await publish_agent(site.engine, Agent("short", 1, "Short", keep_log_days=1))
    await site.call("live", 1.5, agent_id="short", ended_at=None, ended_by="")
    await site.call("lost", 3.5, agent_id="short", ended_at=None, ended_by="")
    await erase_old(site.engine, site.settings)
    assert await site.row("live") is not None and await site.row("lost") is None


# --- files ----------------------------------------------------------------------------------------


async def test_every_part_of_a_call_goes(site: Site) -> None:
    first = await site.call("parts", 15)
    second = first.with_name("parts.2.wav")
    second.write_bytes(first.read_bytes())
    async with site.engine.begin() as connection:
        later = f"{first.parent.relative_to(site.settings.recordings_dir)}/parts.2.wav"
        await connection.execute(update(CallRow).values(recording=later))
    await erase_old(site.engine, site.settings)
    assert not first.exists() and not second.exists()


async def test_a_recording_without_a_row_goes_when_it_is_old(site: Site) -> None:
    folder = site.settings.recordings_dir / "2026/01/02"
    folder.mkdir(parents=True)
    for name, days in (("gone", 15), ("new", 1)):
        path = folder / f"{name}.wav"
        path.write_bytes(b"x")
        at = (NOW - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))
    (folder / "notes.txt").write_text("somebody's")
    lines = await erase_old(site.engine, site.settings)
    assert sorted(path.name for path in folder.iterdir()) == ["new.wav", "notes.txt"]
    assert sum(line.files for line in lines if line.note) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../../secret.wav",
        "/etc/passwd",
        "a/../../../secret.wav",
        "link/victim.wav",
        "2026/other.wav",
    ],
)
async def test_a_row_names_no_file_but_its_own_call_s(site: Site, name: str) -> None:
    outside = site.settings.data_dir / "elsewhere"
    outside.mkdir()
    for path in (outside / "victim.wav", site.settings.data_dir / "secret.wav"):
        path.write_bytes(b"x")
    (site.settings.recordings_dir / "link").symlink_to(outside)
    (site.settings.recordings_dir / "2026").mkdir()
    other = site.settings.recordings_dir / "2026/other.wav"
    other.write_bytes(b"x")
    await site.call("evil", 15, recording="")
    async with site.engine.begin() as connection:
        await connection.execute(update(CallRow).values(recording=name))
    await erase_old(site.engine, site.settings)
    assert (outside / "victim.wav").exists() and (site.settings.data_dir / "secret.wav").exists()
    assert other.exists() and Path("/etc/passwd").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may erase anything")
async def test_a_read_only_folder_counts_as_left(site: Site) -> None:
    path = await site.call("stuck", 35)
    path.parent.chmod(0o500)
    try:
        lines = await erase_old(site.engine, site.settings)
    finally:
        path.parent.chmod(0o700)
    assert path.exists() and sum(line.left for line in lines if line.note) > 0
    assert await site.row("stuck") is not None


async def test_what_cannot_be_erased_counts_as_left_and_keeps_its_row(site: Site) -> None:
    path = await site.call("stuck", 35)
    path.unlink()
    path.mkdir()  # no file: unlink fails, for root too
    (path / "x").write_bytes(b"x")
    lines = await erase_old(site.engine, site.settings)
    assert await site.row("stuck") is not None
    left = {line.what: line.left for line in lines if line.agent_id == "help"}
    assert left["recordings"] == 1 and left["log"] == 1


async def test_a_missing_recording_is_gone(site: Site) -> None:
    (await site.call("missing", 15)).unlink()
    lines = await erase_old(site.engine, site.settings)
    row = await site.row("missing")
    assert row is not None and row["recording"] == "" and all(line.left == 0 for line in lines)


async def test_without_the_folder_no_recording_counts_as_gone(site: Site) -> None:
    await site.call("away", 15)
    site.settings.recordings_dir.rename(site.settings.data_dir / "unmounted")
    lines = await erase_old(site.engine, site.settings)
    assert next(line for line in lines if line.agent_id == "help").left == 1


async def test_spools_and_quarantine_are_no_archive(site: Site) -> None:
    spool = site.settings.spool_dir
    spool.mkdir()
    long_ago = (NOW - timedelta(days=40)).timestamp()
    for name in ("1-dead.jsonl", "2-live.jsonl", "3-new.jsonl"):
        (spool / name).write_text("{}\n")
        if "new" not in name:
            os.utime(spool / name, (long_ago, long_ago))
    rows = [
        json.dumps({"at": at.isoformat(), "reason": "bad", "row": "words"})
        for at in (NOW - timedelta(days=40), NOW)
    ]
    (spool / "quarantine.log").write_text("\n".join(rows) + "\n")
    with (spool / "2-live.jsonl").open("r+") as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        await erase_old(site.engine, site.settings)
    assert sorted(path.name for path in spool.iterdir()) == [
        "2-live.jsonl", "3-new.jsonl", "quarantine.log",
    ]  # fmt: skip
    assert (spool / "quarantine.log").read_text() == rows[1] + "\n"


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    for name in ("", "..", "../x.wav", "/x.wav", "a/../../x.wav", "x\0.wav"):
        assert path_of(tmp_path, name) is None
    assert path_of(tmp_path, "2026/01/02/c.wav") == tmp_path.resolve() / "2026/01/02/c.wav"
    assert files_of(tmp_path, "c", "2026/01/02/d.wav") == []


# --- beeping --------------------------------------------------------------------------------------


def _sides(path: Path) -> tuple[np.ndarray, np.ndarray]:
    (caller, agent), _ = read_wav(path)
    return np.frombuffer(caller, "<i2"), np.frombuffer(agent, "<i2")


async def test_what_the_end_of_a_call_left_is_beeped_and_marked(site: Site) -> None:
    path = await site.call("done", 1)
    before = _sides(path)
    assert await beep_pending(site.engine, site.settings) == 1
    caller, agent = _sides(path)
    assert np.array_equal(agent, before[1])
    changed = np.flatnonzero(caller != before[0])
    assert 800 <= changed[0] and changed[-1] < 2400 and len(changed) > 1500
    assert await site.count(RedactionRow, RedactionRow.beeped_at.is_(None)) == 0
    assert await beep_pending(site.engine, site.settings) == 0


async def test_a_live_call_s_recording_waits(site: Site) -> None:
    await site.call("live", 0.01, ended_at=None)
    await site.call("just", 0, ended_at=datetime.now(UTC) + timedelta(minutes=5))
    assert await beep_pending(site.engine, site.settings) == 0


async def test_a_file_that_is_not_here_is_tried_again(site: Site) -> None:
    path = await site.call("away", 1)
    path.rename(path.with_name("moved"))
    await site.call("there", 1)
    assert await beep_pending(site.engine, site.settings) == 1
    path.with_name("moved").rename(path)
    assert await beep_pending(site.engine, site.settings) == 1


async def test_beeping_follows_no_path_out_of_the_folder(site: Site) -> None:
    secret = site.settings.data_dir / "secret.wav"
    write_wav(secret, [bytes(16000), bytes(16000)], 8000)
    await site.call("evil", 1, recording="../secret.wav")
    assert await beep_pending(site.engine, site.settings) == 0
    assert not np.any(_sides(secret)[0])


async def test_a_recording_that_is_erased_needs_no_beep(site: Site) -> None:
    await site.call("old", 15)
    await erase_old(site.engine, site.settings)
    assert await beep_pending(site.engine, site.settings) == 0
    assert await site.count(RedactionRow, RedactionRow.beeped_at.is_(None)) == 0


# --- one caller -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", [NUMBER, "9876543210", "09876543210", "919876543210", "00919876543210"]
)
async def test_a_caller_is_erased_however_trunks_wrote_the_number(site: Site, written: str) -> None:
    path = await site.call("mine", 1, caller=written)
    other = await site.call("other", 1, caller="+919876543211")
    out = await site.call("out", 1, caller="1001", did=written, direction="out")
    report = await erase_caller(site.engine, site.settings, "98765 43210", "a letter")
    assert (report.calls, report.files, report.left) == (2, 2, 0)
    assert not path.exists() and not out.exists() and other.exists()
    for call_id in ("mine", "out"):
        assert await site.row(call_id) is None and await site.words(call_id) == set()
    assert await site.row("other") is not None
    async with site.engine.connect() as connection:
        proof = (await connection.execute(select(*ErasureRow.__table__.columns))).mappings().one()
    assert (proof["reason"], proof["what"], proof["calls"], proof["left"]) == (
        "request",
        "caller",
        2,
        0,
    )
    assert "9876543210" not in str(dict(proof)) and report.key in proof["note"]


async def test_what_was_answered_in_advance_to_them_goes(site: Site) -> None:
    await site.call("mine", 1, caller=NUMBER)
    await site.call("other", 1, caller="+919876543211")
    agent = await publish_agent(site.engine, Agent("help", 1, "Help"))
    async with site.engine.begin() as connection:
        said = "what about my neighbour's divorce"
        await connection.execute(
            update(TurnRow).where(TurnRow.call_id == "mine").values(said=f"Um, {said}?")
        )
    for question in (said, "when are you open"):
        cached = CachedAnswer(wording_of(question), question, "I do not know.", "llm", ())
        await keep_answer(site.engine, agent, cached, 2, fit=False)
    assert (await erase_caller(site.engine, site.settings, NUMBER, "")).left == 0
    assert [one.cached.question for one in await list_answers(site.engine)] == ["when are you open"]


async def test_calls_to_be_made_go_and_the_do_not_call_entry_stays(site: Site) -> None:
    await publish_agent(site.engine, Agent("help", 1, "Help"))
    async with site.engine.begin() as connection:
        for state in ("waiting", "done"):
            row = {"id": state, "number": NUMBER, "agent_id": "help", "state": state}
            await connection.execute(insert(OutboundRow), [row])
        await connection.execute(insert(DoNotCallRow), [{"number": NUMBER}])
    report = await erase_caller(site.engine, site.settings, NUMBER, "")
    assert report.left == 0
    assert await site.count(OutboundRow) == 0 and await site.count(DoNotCallRow) == 1


async def test_what_lies_on_the_disk_of_a_caller_goes_or_counts_as_left(
    site: Site, settings: Settings
) -> None:
    await site.call("mine", 1, caller=NUMBER)
    folder = settings.spool_dir / "worker"
    folder.mkdir(parents=True)
    quarantine, spool = folder / QUARANTINE, folder / f"77-abc{SUFFIX}"
    rows = [f'{{"call_id":"mine","said":"{n}"}}' for n in range(2)]
    rows += [f'{{"call_id":"unknown","caller":"{NUMBER}"}}', '{"call_id":"other","said":"x"}']
    lines = [json.dumps({"at": "2026-11-20T10:00:00+00:00", "row": row}) for row in rows]
    quarantine.write_text("\n".join(lines) + "\n")
    spool.write_text('{"call_id":"late","caller":"09876543210"}\n{"call_id":"o","caller":"1001"}\n')
    report = await erase_caller(site.engine, site.settings, NUMBER, "")
    assert quarantine.read_text() == lines[3] + "\n"
    # a spool is its process's: what it will store yet is not gone, and that is said
    assert report.left == 1 and "1 rows of theirs lie in spools" in report.limits[-1]
    spool.unlink()
    assert (await erase_caller(site.engine, site.settings, NUMBER, "")).left == 0


async def test_a_live_call_is_refused(site: Site) -> None:
    await site.call("live", 0.01, ended_at=None)
    with pytest.raises(UserError, match="live"):
        await erase_caller(site.engine, site.settings, NUMBER, "")
    assert await site.row("live") is not None


@pytest.mark.parametrize("number", ["", "1001", "help", "%", "+91", "98765' OR 1=1"])
async def test_what_is_no_number_is_refused(site: Site, number: str) -> None:
    await site.call("mine", 1)
    with pytest.raises(UserError, match="no telephone number"):
        await erase_caller(site.engine, site.settings, number, "")
    assert await site.row("mine") is not None


def test_the_key_is_the_same_for_every_form(settings: Settings) -> None:
    assert key_of("98765 43210", settings) == key_of(NUMBER, settings)
    assert key_of(NUMBER, settings) != key_of("+919876543211", settings)
    assert "9876543210" in forms_of(NUMBER, "IN")


# --- commands -------------------------------------------------------------------------------------


def _run(settings: Settings, *arguments: str) -> Any:
    environment = {
        "IVR_DATA_DIR": str(settings.data_dir), "IVR_DATABASE__URL": settings.database.url,
        "IVR_RETENTION__RECORDINGS_DAYS": "10", "IVR_RETENTION__TRANSCRIPTS_DAYS": "20",
        "IVR_RETENTION__LOG_DAYS": "30",
    }  # fmt: skip
    result = CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output.splitlines()[-1]) if "--json" in arguments else result.output


async def test_the_commands(site: Site, settings: Settings) -> None:
    await site.call("old", 25)
    await site.call("mine", 1)
    dry = await asyncio.to_thread(_run, settings, "retention", "run", "--dry-run", "--json")
    assert dry["dry_run"] and sum(line["calls"] for line in dry["erased"]) == 2
    done = await asyncio.to_thread(_run, settings, "retention", "run", "--json")
    assert done["left"] == 0
    shown = await asyncio.to_thread(_run, settings, "calls", "show", "old")
    assert "erased" in shown
    shown = await asyncio.to_thread(_run, settings, "retention", "show", "--json")
    assert shown["kept"][0]["agent_id"] == "help" and shown["erasures"]
    gone = await asyncio.to_thread(_run, settings, "erase", "caller", NUMBER, "--yes", "--json")
    assert gone["calls"] == 2 and gone["left"] == 0
    assert "There is no agent" in await asyncio.to_thread(_run, settings, "retention", "show")


async def test_a_caller_goes_out_of_the_lists_of_campaigns(site: Site) -> None:
    await publish_agent(site.engine, Agent("help", 1, "Help"))
    async with site.engine.begin() as connection:
        id_ = await create_campaign(connection, {"name": "Dues", "agent_id": "help"})
        contacts = [NewContact(number, "", {}) for number in (NUMBER, "+919876543211")]
        assert await add_contacts(connection, id_, contacts) == 2
    report = await erase_caller(site.engine, site.settings, "098765 43210", "a letter")
    assert (report.left, report.rows) == (0, 1)
    async with site.engine.begin() as connection:
        assert [c.number for c in await list_contacts(connection, id_)] == ["+919876543211"]


async def test_contacts_of_campaigns_that_ended_long_ago_are_erased(site: Site) -> None:
    await publish_agent(site.engine, Agent("help", 1, "Help"))
    async with site.engine.begin() as connection:
        for name, ended in (("old", 800), ("new", 1)):
            at = datetime.now(UTC) - timedelta(days=ended)
            values = {"name": name, "agent_id": "help", "state": "done", "ended_at": at}
            id_ = await create_campaign(connection, values)
            await add_contacts(connection, id_, [NewContact(NUMBER, name, {})])
    await erase_old(site.engine, site.settings)
    assert await site.count(ContactRow) == 1
