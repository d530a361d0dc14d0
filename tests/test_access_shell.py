"""Every command that changes something stands in the audit log, under whoever typed it: each is run on
a real database, and what it leaves there is read back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops import livecalls
from appliance.settings import Database, Settings
from appliance.store.database import open_engine
from tests.access_kit import PASSWORD, quick_passwords  # noqa: F401
from tests.calls_kit import a_call, a_flag, a_turn, put, two_tenants
from tests.shell_kit import Ivr, ivr_of

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]

CALLER = "+919876543210"
FLAG = "flag-c1-1"

LOOKS = {
    "answers list", "ask", "audit-log show", "audit-log verify", "calls show",
    "campaign list", "campaign show", "capacity forecast", "flags list", "flags show",
    "flags trends", "golden list", "knowledge list", "knowledge search", "knowledge show",
    "knowledge versions", "models list", "models plan", "releases list", "releases replay",
    "retention show", "rules check", "rules list", "tenants list", "top", "users list",
    "firewall show", "firewall jail", "backup list", "backup verify", "bundle audit", "bundle verify",
    "models verify", "cluster status", "pools status",
}  # fmt: skip
"""Groups that list when nothing more is said are not commands here."""
PROCESSES = {
    "up", "demo", "worker", "sip", "jobs", "admin", "cluster up", "cluster down", "postgres", "redis",
    "stt", "tts", "turn", "embed", "rerank", "llm", "emulate", "rehearse", "audit",
}  # fmt: skip
FILES = {
    "db upgrade": "alembic's own table has it; there is no log before it",
    "backup create": "backup/last.json has it; a timer calls it every night",
    "backup prune": "as the settings say, as create does",
    "bundle create": "writes a file", "bundle keygen": "writes a file",
    "doctor": "changes modes and leftovers alone, and only with --fix",
    "models pull": "fetches a file", "models convert": "makes a file", "models remove": "a file",
    "pools settings": "writes a file for engine servers",
    "switch configure": "writes FreeSWITCH's files, on a box that may have no database yet",
}  # fmt: skip
"""They change no row and nobody's data."""
ELSEWHERE = {
    "upgrade": "tests/test_upgrade_*.py",
    "rollback": "tests/test_upgrade_*.py",
    "releases remove": "tests/test_upgrade_*.py",
    "releases migrate": "a step of upgrade",
    "backup restore": "tests/test_backup_restore.py",
    "firewall apply": "needs nftables, as root",
    "firewall remove": "needs nftables, as root",
    "backup key": "below",
    "capacity plan": "needs weeks of calls",
    "seed": "needs an embedding server",
    "knowledge load": "needs an embedding server",
    "knowledge reembed": "needs an embedding server",
    "campaign start": "tests/test_campaign_standin.py",
    "campaign pause": "tests/test_campaign_standin.py",
    "campaign cancel": "in ops/campaigns.py, as start",
}


@dataclass(frozen=True)
class Typed:
    """A command, and the line that it leaves."""

    words: str
    action: str
    subject: str = ""
    tenant: str | None = None
    typed: str = ""
    ends: int = 0
    """2: what it asks for is not there in this test, after the line was written."""


LINES = (
    Typed("tenants create north", "tenant.create", "north", "north"),
    Typed("tenants rename north North", "tenant.rename", "north", "north"),
    Typed("tenants assign north --agent theirs", "agent.assign", "theirs", "north"),
    Typed("users create asha --role operator --password-stdin", "user.create", "asha", typed=PASSWORD),
    Typed("users create ravi --role operator --password-stdin", "user.create", "ravi", typed=PASSWORD),
    Typed("users set-password asha --password-stdin", "user.password", "asha", typed="a new phrase 12"),
    Typed("users disable asha", "user.disable", "asha"),
    Typed("users enable asha", "user.enable", "asha"),
    Typed("users reset-second-factor asha", "user.second_factor_reset", "asha"),
    Typed("do-not-call add 09811112222 --tenant north", "do_not_call.add", "+919811112222", "north"),
    Typed("do-not-call add 09811112222", "do_not_call.add", "+919811112222"),
    Typed("do-not-call import {numbers}", "do_not_call.add", "2 numbers"),
    Typed("do-not-call remove 09811112222 --tenant north --reason asked", "do_not_call.remove",
          "+919811112222", "north"),
    Typed("trunks add airtel --proxy sip.airtel.example --username u --password-stdin", "trunk.add",
          "airtel", typed="tr-Vulpine-4471"),
    Typed("trunks change airtel --priority 5", "trunk.change", "airtel"),
    Typed("trunks disable airtel", "trunk.disable", "airtel"),
    Typed("trunks enable airtel", "trunk.enable", "airtel"),
    Typed("trunks remove airtel", "trunk.remove", "airtel"),
    Typed("trunks toll --unblock +9715", "toll.unblock", "+9715", ends=2),
    Typed("numbers add +918022223333 --agent help", "number.add", "+918022223333", "main"),
    Typed("numbers remove +918022223333", "number.remove", "+918022223333", "main"),
    Typed("extensions add 1001 --name Reception", "extension.save", "1001"),
    Typed("extensions remove 1001", "extension.remove", "1001"),
    Typed("queues add support 1001 1002", "queue.save", "support"),
    Typed("queues remove support", "queue.remove", "support"),
    Typed("rules add free --agent help", "rule.add", "1", "main"),
    Typed("rules edit 1 --action flag", "rule.edit", "1", "main"),
    Typed("rules disable 1", "rule.disable", "1", "main"),
    Typed("rules enable 1", "rule.enable", "1", "main"),
    Typed("flags confirm {flag} --note wrong", "flag.confirm", FLAG, "main"),
    Typed("flags reopen {flag}", "flag.reopen", FLAG, "main"),
    Typed("flags dismiss {flag}", "flag.dismiss", FLAG, "main"),
    Typed("flags fix {flag} --rule-text gratis", "rule.change", FLAG, "main", ends=-1),
    Typed("flags retest {flag}", "flag.retest", FLAG, "main", ends=-1),
    Typed("flags audio {flag} {folder}/x.wav", "recording.download", "c1", "main", ends=2),
    Typed("flags add c1 1", "flag.add", "c1", "main"),
    Typed("rules remove 1", "rule.remove", "1", "main"),
    Typed("golden add help fee?", "golden.add", "help", "main"),
    Typed("golden import help {questions}", "golden.add", "help", "main"),
    Typed("golden run --agent help", "golden.run", "help", "main", ends=-1),
    Typed("golden remove 1", "golden.remove", "1", "main"),
    Typed("answers make --agent help", "answer.make", "help", "main", ends=-1),
    Typed("knowledge add faq {document} --tenant main", "document.add", "faq", "main"),
    Typed("knowledge retry faq", "document.retry", "faq", "main"),
    Typed("knowledge refresh faq", "knowledge.refresh", "faq", "main"),
    Typed("knowledge allow faq 4711", "passage.allow", "faq", "main", ends=2),
    Typed("knowledge remove faq faq.md", "document.remove", "faq", "main"),
    Typed("knowledge drop faq --yes", "knowledge.drop", "faq", "main"),
    Typed("call +919876543210 --agent help --no-wait", "call.make", "help", "main", ends=2),
    Typed("outbound cancel 3f2a91c0", "call.cancel", "3f2a91c0", ends=2),
    Typed("live transfer c1 queue:support", "live.transfer", "c1", ends=2),
    Typed("live hangup c1", "live.hangup", "c1", ends=2),
    Typed("supervise c1 --from 1001", "live.listen", "c1", ends=2),
    Typed("supervise c1 --say hello", "live.say", "c1", ends=2),
    Typed("trunks diagnose nowhere", "trunk.diagnose", "nowhere", ends=2),
    Typed("retention run", "retention.run", "all"),
    Typed("erase caller {caller} --yes", "caller.erase"),
)  # fmt: skip
REFUSED = {"answers withdraw": "an answer that is in use; tests/test_review_commands.py"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database=Database(url=database_url))


@pytest.fixture
def ivr(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ivr:
    monkeypatch.setenv("IVR_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SUDO_USER", "asha.menon")
    return ivr_of(settings, monkeypatch)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that has none below it."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*path, name))


def of_words(words: str) -> str:
    """The command of a line."""
    known = set(leaves(main))
    parts = words.split()
    return next(" ".join(parts[:n]) for n in (2, 1) if " ".join(parts[:n]) in known)


def test_every_command_is_known_to_look_or_to_leave_a_line() -> None:
    written = {of_words(line.words) for line in LINES} | set(REFUSED) | set(ELSEWHERE)
    silent = LOOKS | PROCESSES | set(FILES)
    assert written & silent == set()
    assert set(leaves(main)) - written - silent == set(), "does it change something?"


def prepared(settings: Settings, folder: Path) -> dict[str, str]:
    """Two tenants, a call with a flag, files to be given; what stands in the lines' braces."""

    async def make() -> None:
        engine = open_engine(settings.database.url)
        call = a_call("c1", caller=CALLER)
        await two_tenants(engine)
        await put(engine, call, a_turn(call, 1), a_flag(call, question="What is the fee?"))
        await engine.dispose()

    asyncio.run(make())
    files = {"numbers": "number\n09811113333\n09811114444\n", "questions": "what is the fee\n"}
    files["document"] = "# Fees\n\nThe fee is 100 rupees.\n"
    for name, text in files.items():
        (folder / ("faq.md" if name == "document" else f"{name}.csv")).write_text(text)
    found = {name: str(folder / f"{name}.csv") for name in ("numbers", "questions")}
    return found | {
        "document": str(folder / "faq.md"), "flag": FLAG, "folder": str(folder), "caller": CALLER,
    }  # fmt: skip


def rows(settings: Settings) -> list[tuple[Any, ...]]:
    query = "SELECT actor, action, subject, tenant, detail::text FROM audit_log ORDER BY id"
    with psycopg.connect(settings.database.url) as connection:
        return connection.execute(query).fetchall()


def test_each_change_leaves_its_line_and_no_secret(
    ivr: Ivr, settings: Settings, tmp_path: Path
) -> None:
    given = prepared(settings, tmp_path)
    wrong: list[tuple[object, ...]] = []
    for line in LINES:
        before = len(rows(settings))
        done = ivr(*line.words.format(**given).split(), typed=f"{line.typed}\n")
        if line.ends >= 0 and done.exit_code != line.ends:
            wrong.append((line.words, done.exit_code, done.output, done.exception))
        new = rows(settings)[before:]
        subjects = {(actor, action, subject, tenant) for actor, action, subject, tenant, _ in new}
        subject = line.subject or (new[0][2] if new else "")
        if ("shell:asha.menon", line.action, subject, line.tenant) not in subjects:
            wrong.append((line.words, done.output, new, done.exception))
    assert wrong == []
    everything = str(rows(settings))
    assert [
        s for s in (PASSWORD, "Vulpine", "a new phrase", CALLER, "hello") if s in everything
    ] == []


def test_what_is_refused_leaves_no_line(ivr: Ivr, settings: Settings) -> None:
    refused = (
        "trunks remove nowhere", "numbers remove 5", "queues remove x", "rules remove 9",
        "extensions remove 9", "do-not-call remove 09811112222", "numbers add 1 --agent nobody",
        "do-not-call add 09811112222 --tenant nobody", "flags confirm zzz",
        "knowledge drop nowhere --yes", "answers withdraw help fee?", "golden remove 7",
    )  # fmt: skip
    assert [words for words in refused if ivr(*words.split()).exit_code != 2] == []
    assert rows(settings) == []


def test_what_cannot_be_written_down_is_not_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real function, with a switch that would do it and a database that is away."""
    asked: list[str] = []
    monkeypatch.setattr(livecalls, "ask", lambda s, method, path, body=None: asked.append(path))
    away = settings.model_copy(
        update={"database": Database(url="postgresql://x@127.0.0.1:1/x", connect_timeout_s=1)}
    )
    with pytest.raises(UserError):
        livecalls.hang_up(away, "c1", as_json=True)
    assert asked == []


def test_a_number_leaves_one_list_and_stays_on_the_others(ivr: Ivr, settings: Settings) -> None:
    ivr("tenants", "create", "north")
    for tenant in ("north", ""):
        ivr("do-not-call", "add", CALLER, "--tenant", tenant)
    with psycopg.connect(settings.database.url) as connection:
        connection.execute("INSERT INTO do_not_call (number, tenant) VALUES (%s, 'main')", [CALLER])
    gone = ivr("do-not-call", "remove", CALLER, "--tenant", "north", "--json")
    told = json.loads(gone.stdout.splitlines()[-1])
    assert told["still"] == ["the operator", "main"]
    again = ivr("do-not-call", "remove", CALLER, "--tenant", "north")
    assert again.exit_code == 2 and "say --tenant" in again.output
    assert "stands on that of main" in ivr("do-not-call", "remove", CALLER).output
    listed = json.loads(ivr("do-not-call", "--json").stdout.splitlines()[-1])["do_not_call"]
    assert [one["tenant"] for one in listed] == ["main"]


def test_a_key_of_backups_is_written_down_or_said(
    ivr: Ivr, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = settings.data_dir / "identity.txt"
    assert ivr("backup", "key", "--out", str(out)).exit_code == 0
    assert [row[1] for row in rows(settings)] == ["backup.key"]
    monkeypatch.setenv("IVR_DATABASE__URL", "postgresql://x@127.0.0.1:1/x")
    again = ivr("backup", "key", "--replace", "--out", str(out.with_suffix(".2")))
    assert again.exit_code == 0 and "Not in the audit log" in again.output
