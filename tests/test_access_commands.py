"""``ivr users``, ``ivr tenants`` and ``ivr audit-log`` on a real database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from click.testing import Result

from appliance.__main__ import main
from appliance.access import proving
from appliance.access.proving import Asked
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Database, Settings
from appliance.store.database import open_engine
from tests.access_kit import PASSWORD, quick_passwords  # noqa: F401
from tests.shell_kit import Ivr, ivr_of

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database=Database(url=database_url))


@pytest.fixture
def ivr(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ivr:
    return ivr_of(settings, monkeypatch)


def _create(ivr: Ivr, login: str, *more: str) -> Result:
    args = ("users", "create", login, "--role", "operator", "--password-stdin", *more)
    return ivr(*args, typed=PASSWORD + "\n")


def _proves(settings: Settings, login: str, password: str) -> bool:
    async def ask() -> bool:
        engine = open_engine(settings.database.url)
        try:
            await proving.prove_password(engine, settings, login, password, Asked.at(""))
        except proving.WrongError:
            return False
        finally:
            await engine.dispose()
        return True

    return asyncio.run(ask())


def _last(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_the_first_operator_by_a_prompt(ivr: Ivr, settings: Settings) -> None:
    assert "ivr users create" in ivr("users", "list").output
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    made = ivr("users", "create", "asha", "--role", "operator", typed=typed)
    assert made.exit_code == 0, made.output
    assert "asha (operator, of the operator) may log in." in made.output
    assert PASSWORD not in made.output
    assert _proves(settings, "asha", PASSWORD)


def test_a_slip_of_the_prompt_makes_nobody(ivr: Ivr) -> None:
    typed = f"{PASSWORD}\nsomething else\n"
    assert ivr("users", "create", "asha", "--role", "operator", typed=typed).exit_code != 0
    assert _last(ivr("users", "list", "--json")) == {"users": []}


@pytest.mark.parametrize("typed", ["", "\n", "short\n"])
def test_there_is_no_default_password(ivr: Ivr, typed: str) -> None:
    made = ivr("users", "create", "asha", "--role", "operator", "--password-stdin", typed=typed)
    assert made.exit_code == 2 and made.output.startswith("ivr: ")
    assert _last(ivr("users", "list", "--json")) == {"users": []}


def test_no_command_takes_a_password_as_a_word() -> None:
    group = main.commands["users"]
    names = [o for c in group.commands.values() for p in c.params for o in p.opts]  # type: ignore[attr-defined]
    assert "--password-stdin" in names and "--password" not in names


def test_people_of_a_tenant(ivr: Ivr) -> None:
    assert ivr("tenants", "create", "north", "--name", "North Bank").exit_code == 0
    args = ("users", "create", "noor", "--role", "admin", "--tenant", "north", "--language", "hi")
    made = _last(ivr(*args, "--name", "Noor", "--password-stdin", "--json", typed=PASSWORD))
    assert made["tenant"] == "north" and made["state"] == "enabled"
    _create(ivr, "boss")
    listed = _last(ivr("users", "list", "--tenant", "north", "--json"))["users"]
    assert [one["login"] for one in listed] == ["noor"]  # type: ignore[attr-defined]
    assert "noor" in ivr("users", "list").output
    wrong = ivr("users", "create", "x1", "--role", "operator", "--tenant", "north", "--password-stdin",
                typed=PASSWORD)  # fmt: skip
    assert wrong.exit_code == 2 and "belongs to no tenant" in wrong.output
    found = {one["id"]: one for one in _last(ivr("tenants", "list", "--json"))["tenants"]}  # type: ignore[attr-defined]
    assert found["north"]["users"] == 1 and found["north"]["name"] == "North Bank"
    assert ivr("tenants", "rename", "north", "N.").exit_code == 0
    assert "N." in ivr("tenants", "list").output


def test_shut_out_and_let_in(ivr: Ivr, settings: Settings) -> None:
    _create(ivr, "boss")
    assert "last operator" in ivr("users", "disable", "boss").output
    _create(ivr, "second")
    assert ivr("users", "disable", "boss").exit_code == 0
    assert not _proves(settings, "boss", PASSWORD)
    assert _last(ivr("users", "enable", "boss", "--json"))["state"] == "enabled"
    assert _proves(settings, "boss", PASSWORD)
    new = "another plain phrase"
    assert ivr("users", "set-password", "boss", "--password-stdin", typed=new).exit_code == 0
    assert _proves(settings, "boss", new)
    assert ivr("users", "reset-second-factor", "boss").exit_code == 0
    gone = ivr("users", "disable", "nobody")
    assert gone.exit_code == 2 and "ivr users list" in gone.output


def test_what_commands_do_stands_in_the_log(ivr: Ivr) -> None:
    _create(ivr, "boss")
    ivr("tenants", "create", "north")
    rows = _last(ivr("audit-log", "show", "--json"))["rows"]
    assert [(row["action"], row["subject"]) for row in rows] == [  # type: ignore[attr-defined]
        ("tenant.create", "north"),
        ("user.create", "boss"),
    ]
    assert all(row["actor"].startswith("shell:") for row in rows)  # type: ignore[attr-defined]
    assert "boss" in ivr("audit-log", "show", "--action", "user", "--since", "1h").output
    assert "Nothing of that kind" in ivr("audit-log", "show", "--actor", "nobody").output


def test_verify_names_the_row_that_was_changed(
    ivr: Ivr, settings: Settings, postgres: EmbeddedPostgres
) -> None:
    for name in ("north", "south", "east"):
        ivr("tenants", "create", name)
    well = _last(ivr("audit-log", "verify", "--json"))
    assert well["ok"] is True and well["rows"] == 3
    head = str(well["head"])
    assert f"Head: {head}" in ivr("audit-log", "verify", "--expect", head).output
    never = ivr("audit-log", "verify", "--expect", "0" * 63 + "1")
    assert never.exit_code == 1 and "cut off" in never.output
    assert ivr("audit-log", "verify", "--expect", "abc").exit_code == 2
    name = settings.database.url.rpartition("/")[2]
    with psycopg.connect(postgres.superuser_url(name)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit_log SET subject = 'west' WHERE id = 2")
    broken = ivr("audit-log", "verify")
    assert broken.exit_code == 1 and "Row 2 was changed" in broken.output
    told = json.loads(ivr("audit-log", "verify", "--json").stdout)
    assert (told["ok"], told["first_bad"]) == (False, 2)


def test_assigning_by_command(ivr: Ivr, settings: Settings) -> None:
    ivr("tenants", "create", "north")
    nothing = ivr("tenants", "assign", "north")
    assert nothing.exit_code == 2 and "--agent" in nothing.output
    assert "no agent" in ivr("tenants", "assign", "north", "--agent", "x").output
    with psycopg.connect(settings.database.url) as connection:
        connection.execute("INSERT INTO agents (id, name) VALUES ('loans', 'Loans')")
    given = ivr("tenants", "assign", "north", "--agent", "loans")
    assert given.exit_code == 0 and "agent loans" in given.output
    found = {one["id"]: one for one in _last(ivr("tenants", "list", "--json"))["tenants"]}  # type: ignore[attr-defined]
    assert (found["north"]["agents"], found["main"]["agents"]) == (1, 0)
