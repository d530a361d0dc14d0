"""Extensions and queues over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import telephones as service
from appliance.admin.services.telephones import Changed, NewExtension, ShownExtension
from appliance.store.phonebook import Queue, Strategy

router = APIRouter(tags=["Telephones and queues"])

Reader = Annotated[Actor, needs(Permission.TRUNKS_READ)]
Editor = Annotated[Actor, needs(Permission.TRUNKS_EDIT)]
Number = Annotated[str, Path(max_length=6)]
Name = Annotated[str, Path(max_length=64)]


class ExtensionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=200)
    """Whose telephone it is."""


class EnabledBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    enabled: bool


class QueueBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    members: list[Annotated[str, Field(max_length=256)]] = Field(min_length=1, max_length=100)
    """Extensions, numbers or SIP addresses."""
    strategy: Strategy = "all"
    """`all` at once, or in `order`."""
    ring_s: int = Field(20, ge=3, le=300)
    max_wait_s: int = Field(120, ge=5, le=3600)


@router.get("/extensions")
async def list_extensions(console: ConsoleOf, actor: Reader) -> list[ShownExtension]:
    """The operator's own telephones."""
    return await service.list_extensions(console, actor)


@router.put("/extensions/{extension}")
async def save_extension(
    console: ConsoleOf, actor: Editor, extension: Number, body: ExtensionBody
) -> NewExtension:
    """Add a telephone, or give it a new password: the answer shows it this once."""
    return await service.save_extension(console, actor, extension, body.name)


@router.put("/extensions/{extension}/enabled")
async def enable_extension(
    console: ConsoleOf, actor: Editor, extension: Number, body: EnabledBody
) -> Changed:
    """Let it register, or not."""
    return await service.set_extension_enabled(console, actor, extension, body.enabled)


@router.delete("/extensions/{extension}")
async def remove_extension(console: ConsoleOf, actor: Editor, extension: Number) -> Changed:
    """Remove a telephone; the notes say which queues still name it."""
    return await service.remove_extension(console, actor, extension)


@router.get("/queues")
async def list_queues(console: ConsoleOf, actor: Reader) -> list[Queue]:
    """People who share the calls handed to `queue:NAME`."""
    return await service.list_queues(console, actor)


@router.put("/queues/{name}")
async def save_queue(console: ConsoleOf, actor: Editor, name: Name, body: QueueBody) -> Changed:
    """Add or replace a queue."""
    queue = Queue(name, tuple(body.members), body.strategy, body.ring_s, body.max_wait_s)
    return await service.save_queue(console, actor, queue)


@router.delete("/queues/{name}")
async def remove_queue(console: ConsoleOf, actor: Editor, name: Name) -> Changed:
    """Remove a queue; the notes say which numbers still name it."""
    return await service.remove_queue(console, actor, name)
