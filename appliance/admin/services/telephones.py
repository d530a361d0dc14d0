"""Extensions (the operator's own telephones) and queues (people who share calls)."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.ops import extensions, queues
from appliance.ops.switchclient import put_in_force
from appliance.store import trunks as store
from appliance.store.phonebook import EXTENSION, NAME, Extension, Queue


@dataclass(frozen=True, slots=True)
class ShownExtension:
    """A telephone, without the hash of its password."""

    extension: str
    name: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class NewExtension:
    """What is typed into a telephone once. Only a hash of the password is kept: it is shown now or
    never."""

    extension: str
    domain: str
    password: str = dataclasses.field(repr=False)
    in_force: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done."""

    notes: tuple[str, ...]
    in_force: str


async def list_extensions(console: Console, actor: Actor) -> list[ShownExtension]:
    actor.require(Permission.TRUNKS_READ)
    async with console.engine.connect() as connection:
        found = await connection.run_sync(store.list_extensions)
    return [ShownExtension(e.extension, e.name, e.enabled) for e in found]


async def save_extension(console: Console, actor: Actor, extension: str, name: str) -> NewExtension:
    """Add a telephone, or give it a new password. Raises UserError."""
    actor.require(Permission.TRUNKS_EDIT)
    domain = await asyncio.to_thread(extensions.domain_of, console.settings)
    async with console.engine.begin() as connection:
        password = await connection.run_sync(extensions.save, extension, name.strip(), domain)
        detail = {"name": name.strip()}
        await audit.append(connection, actor, "extension.save", extension, detail, None)
    force = await asyncio.to_thread(put_in_force, console.settings)
    return NewExtension(extension, domain, password, force)


async def set_extension_enabled(
    console: Console, actor: Actor, extension: str, enabled: bool
) -> Changed:
    """Let a telephone register, or not. Raises NotFoundError."""
    actor.require(Permission.TRUNKS_EDIT)
    found = await _extension(console, extension)
    action = "extension.enable" if enabled else "extension.disable"
    changed = dataclasses.replace(found, enabled=enabled)
    async with console.engine.begin() as connection:
        await connection.run_sync(store.save_extension, changed)
        await audit.append(connection, actor, action, extension, {}, None)
    return Changed((), await asyncio.to_thread(put_in_force, console.settings))


async def remove_extension(console: Console, actor: Actor, extension: str) -> Changed:
    """Raises NotFoundError."""
    actor.require(Permission.TRUNKS_EDIT)
    await _extension(console, extension)
    async with console.engine.begin() as connection:
        notes = await connection.run_sync(extensions.delete, extension)
        await audit.append(connection, actor, "extension.remove", extension, {}, None)
    return Changed(tuple(notes), await asyncio.to_thread(put_in_force, console.settings))


async def list_queues(console: Console, actor: Actor) -> list[Queue]:
    actor.require(Permission.TRUNKS_READ)
    async with console.engine.connect() as connection:
        return await connection.run_sync(store.list_queues)


async def save_queue(console: Console, actor: Actor, queue: Queue) -> Changed:
    """Add or replace a queue. Raises UserError: a member that cannot be rung, a wrong number."""
    actor.require(Permission.TRUNKS_EDIT)
    if len(queue.members) > 100:
        raise UserError("A queue has 100 members at most.")
    country = console.settings.switch.country
    async with console.engine.begin() as connection:
        notes = await connection.run_sync(queues.save, queue, country)
        detail = dataclasses.asdict(queue)
        await audit.append(connection, actor, "queue.save", queue.name, detail, None)
    return Changed(tuple(notes), await asyncio.to_thread(put_in_force, console.settings))


async def remove_queue(console: Console, actor: Actor, name: str) -> Changed:
    """Raises NotFoundError."""
    actor.require(Permission.TRUNKS_EDIT)
    if not NAME.fullmatch(name):
        raise NotFoundError("There is no such queue.")
    async with console.engine.begin() as connection:
        try:
            notes = await connection.run_sync(queues.delete, name)
        except UserError as e:
            raise NotFoundError("There is no such queue.") from e
        await audit.append(connection, actor, "queue.remove", name, {}, None)
    return Changed(tuple(notes), await asyncio.to_thread(put_in_force, console.settings))


async def _extension(console: Console, extension: str) -> Extension:
    if EXTENSION.fullmatch(extension):
        async with console.engine.connect() as connection:
            found = await connection.run_sync(store.list_extensions)
        for one in found:
            if one.extension == extension:
                return one
    raise NotFoundError("There is no such extension.")
