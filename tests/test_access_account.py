"""One's own account."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import account, users
from appliance.access.actor import NotFoundError
from appliance.access.proving import WrongError, prove_code, prove_password
from appliance.access.sessions import actor_of
from appliance.admin.services import account as service
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store.access_models import UserRow
from tests.access_kit import (
    ADDRESS,
    BOX,
    PASSWORD,
    actions,
    at,
    audited,
    enrolled,
    logged_in,
    make_user,
    quick_passwords,  # noqa: F401
    settings_in,
)
from tests.console_kit import console_on

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]
NEW = "another plain phrase"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


async def test_a_login_and_its_end(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    actor, token = await logged_in(engine, settings, user)
    assert (await users.find(engine, BOX, user.id)).last_login_at is not None
    await account.log_out(engine, actor)
    assert await actor_of(engine, token, ADDRESS, settings.admin) is None
    assert (await actions(engine))[-2:] == [("session.open", "asha"), ("session.end", "asha")]
    with pytest.raises(NotFoundError):
        await account.log_out(engine, actor)


async def test_a_new_password_ends_other_sessions(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    _, stolen = await logged_in(engine, settings, user)
    actor, token = await logged_in(engine, settings, user)
    with pytest.raises(WrongError):
        await account.change_password(engine, settings, actor, "wrong old one", NEW)
    with pytest.raises(UserError, match="that you have"):
        await account.change_password(engine, settings, actor, PASSWORD, PASSWORD)
    with pytest.raises(UserError, match="at least 12"):
        await account.change_password(engine, settings, actor, PASSWORD, "short")
    await account.change_password(engine, settings, actor, PASSWORD, NEW)
    assert await actor_of(engine, stolen, "", settings.admin) is None
    assert await actor_of(engine, token, "", settings.admin) is not None
    await prove_password(engine, settings, "asha", NEW, at())
    with pytest.raises(WrongError):
        await prove_password(engine, settings, "asha", PASSWORD, at())


async def test_guessing_ones_own_password_locks(engine: AsyncEngine, settings: Settings) -> None:
    actor, _ = await logged_in(engine, settings, await make_user(engine, "asha"))
    for _ in range(settings.admin.lock_after):
        with pytest.raises(WrongError):
            await account.change_password(engine, settings, actor, "a stolen browser", NEW)
    with pytest.raises(WrongError):
        await account.change_password(engine, settings, actor, PASSWORD, NEW)


async def test_a_second_factor_is_in_force_after_its_first_code(
    engine: AsyncEngine, settings: Settings
) -> None:
    user = await make_user(engine, "asha")
    actor, _ = await logged_in(engine, settings, user)
    begun = account.begin_enrolment(settings, actor)
    assert account.resume_enrolment(settings, actor, begun.ticket) == begun
    with pytest.raises(WrongError, match="clock"):
        await account.confirm_enrolment(engine, settings, actor, begun.ticket, "000000")
    assert not (await users.find(engine, BOX, user.id)).has_second_factor
    code = pyotp.TOTP(begun.secret).now()
    codes = await account.confirm_enrolment(engine, settings, actor, begun.ticket, code)
    found = await users.find(engine, BOX, user.id)
    assert found.has_second_factor and found.recovery_left == len(codes) == 10
    async with engine.connect() as connection:
        kept = str((await connection.execute(select(*UserRow.__table__.columns))).one())
    assert begun.secret not in kept and all(code not in kept for code in codes)
    assert begun.secret not in str(await audited(engine))
    assert begun.secret not in repr(begun)


async def test_a_ticket_is_of_one_person(engine: AsyncEngine, settings: Settings) -> None:
    asha, _ = await logged_in(engine, settings, await make_user(engine, "asha"))
    ravi, _ = await logged_in(engine, settings, await make_user(engine, "ravi"))
    begun = account.begin_enrolment(settings, asha)
    code = pyotp.TOTP(begun.secret).now()
    for ticket in (begun.ticket, "", "x" * 200, "é"):
        with pytest.raises(UserError, match="begin again"):
            await account.confirm_enrolment(engine, settings, ravi, ticket, code)


async def test_a_ticket_is_taken_once(engine: AsyncEngine, settings: Settings) -> None:
    """Played again, it would make the codes that were used good ones, and new recovery codes."""
    user = await make_user(engine, "asha")
    actor, _ = await logged_in(engine, settings, user)
    begun = account.begin_enrolment(settings, actor)
    code = pyotp.TOTP(begun.secret).now()
    codes = await account.confirm_enrolment(engine, settings, actor, begun.ticket, code)
    with pytest.raises(UserError, match="begin again"):
        await account.confirm_enrolment(engine, settings, actor, begun.ticket, code)
    await prove_code(engine, settings, user.id, codes[0], at())
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, code, at())


async def test_another_telephone_takes_the_place_of_the_one_that_was_proven(
    engine: AsyncEngine, settings: Settings
) -> None:
    """Whoever has a browser that is logged in, and the password, cannot put theirs in its place; nor
    by a ticket from before there was one."""
    user = await make_user(engine, "asha")
    actor, _ = await logged_in(engine, settings, user)
    early = account.begin_enrolment(settings, actor)
    _, codes = await enrolled(engine, settings, user)
    code = pyotp.TOTP(early.secret).now()
    with pytest.raises(UserError, match="begin again"):
        await account.confirm_enrolment(engine, settings, actor, early.ticket, code)
    async with console_on(engine, settings) as console:
        for guess in ("", "000000", code):
            with pytest.raises(WrongError):
                await service.begin_second_factor(console, actor, PASSWORD, guess)
        with pytest.raises(WrongError):
            await service.begin_second_factor(console, actor, "not this one", codes[0])
        begun = await service.begin_second_factor(console, actor, PASSWORD, codes[1])
    code = pyotp.TOTP(begun.secret).now()
    await account.confirm_enrolment(engine, settings, actor, begun.ticket, code)


async def test_new_recovery_codes_replace_the_old(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    secret, old = await enrolled(engine, settings, user)
    actor, _ = await logged_in(engine, settings, user)
    new = await account.renew_recovery(engine, settings, actor, pyotp.TOTP(secret).now())
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, old[3], at())
    await prove_code(engine, settings, user.id, new[3], at())


async def test_taking_it_off_needs_both(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    _, codes = await enrolled(engine, settings, user)
    actor, _ = await logged_in(engine, settings, user)
    with pytest.raises(WrongError):
        await account.remove_second_factor(engine, settings, actor, "not this one", codes[0])
    with pytest.raises(WrongError):
        await account.remove_second_factor(engine, settings, actor, PASSWORD, "000000")
    required = Settings(
        data_dir=settings.data_dir,
        admin=settings.admin.model_copy(update={"second_factor": "required"}),
    )
    with pytest.raises(UserError, match="Everybody"):
        await account.remove_second_factor(engine, required, actor, PASSWORD, codes[0])
    await account.remove_second_factor(engine, settings, actor, PASSWORD, codes[0])
    assert not (await users.find(engine, BOX, user.id)).has_second_factor


async def test_a_reset_by_another_takes_it_away(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    await enrolled(engine, settings, user)
    _, token = await logged_in(engine, settings, user)
    await users.reset_second_factor(engine, BOX, user.id)
    found = await users.find(engine, BOX, user.id)
    assert not found.has_second_factor and found.recovery_left == 0
    assert await actor_of(engine, token, "", settings.admin) is None


async def test_a_new_role_ends_sessions(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    _, token = await logged_in(engine, settings, user)
    profile = users.Profile("Asha", users.Role.VIEWER, "main")
    await users.change(engine, BOX, user.id, profile)
    assert await actor_of(engine, token, "", settings.admin) is None
    _, token = await logged_in(engine, settings, user)
    await users.change(engine, BOX, user.id, replace(profile, name="A. M."))
    assert await actor_of(engine, token, "", settings.admin) is not None


async def test_language(engine: AsyncEngine, settings: Settings) -> None:
    actor, token = await logged_in(engine, settings, await make_user(engine, "asha"))
    await account.set_language(engine, actor, "hi")
    found = await actor_of(engine, token, "", settings.admin)
    assert found is not None and found.language == "hi"
    with pytest.raises(UserError, match="en and hi"):
        await account.set_language(engine, actor, "xx")


async def test_a_key_or_a_command_has_no_account(engine: AsyncEngine, settings: Settings) -> None:
    actor, _ = await logged_in(engine, settings, await make_user(engine, "asha"))
    for other in (BOX, replace(actor, via="key")):
        with pytest.raises(UserError, match="with a browser"):
            await account.change_password(engine, settings, other, PASSWORD, NEW)
        with pytest.raises(UserError, match="with a browser"):
            account.begin_enrolment(settings, other)


async def test_a_session_of_ones_own_only(engine: AsyncEngine, settings: Settings) -> None:
    asha, _ = await logged_in(engine, settings, await make_user(engine, "asha"))
    ravi, token = await logged_in(engine, settings, await make_user(engine, "ravi"))
    with pytest.raises(NotFoundError):
        await account.end_session(engine, asha, ravi.session_id)
    assert await actor_of(engine, token, "", settings.admin) is not None
    soon = datetime.now(UTC) + timedelta(hours=13)
    assert await actor_of(engine, token, "", settings.admin, soon) is None
