"""What a rehearsal calls and asks, and whom it must not disturb."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from pathlib import Path
from typing import TypeVar

import click
import orjson

from appliance import direct
from appliance.engines.emulated_script import load_script
from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.rehearsal.asked import ask_file
from appliance.rehearsal import script
from appliance.rehearsal.questions import Questions, of_folder, of_script
from appliance.rehearsal.sip_message import address_of
from appliance.rehearsal.summary import counted
from appliance.settings import Settings
from appliance.store.agents import load_assignment, load_assignments
from appliance.store.database import answer
from appliance.store.models import ANY_DID

SAMPLE_DID = "1001"
"""Called where every number is answered."""
ASK_TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 2.0
HEALTH_BYTES = 1 << 16
_TARGET = re.compile(r"sip:[^@\s<>;]+@[^@\s<>;:]+(:\d{1,5})?")
T = TypeVar("T")


def questions_of(
    settings: Settings, to: str, folder: Path | None, file: Path | None
) -> tuple[Questions, str]:
    """What is asked, and the SIP URI that is called. Raises UserError."""
    if folder and file:
        raise UserError("--questions and --ask both say what is asked: name one of them.")
    if to and not _TARGET.fullmatch(to):
        raise UserError(f"--to {to!r} should be like sip:1001@192.168.1.10:5060.")
    uri = to or f"sip:{_number(settings)}@{settings.sip.host}:{settings.sip.port}"
    if folder:
        return of_folder(folder), uri
    if file:
        agent = _agent(settings, uri.removeprefix("sip:").partition("@")[0])
        return asyncio.run(ask_file(settings, file, agent)), uri
    return of_script(load_script(script.make(settings.cache_dir / "rehearsal"))), uri


def resolved(uri: str) -> str:
    """``uri`` with an address for its name. Raises UserError."""
    host, port = address_of(uri)
    try:
        address = socket.gethostbyname(host)
    except OSError as e:
        raise UserError(f"{host} has no address: {e.strerror}. Write its IPv4 address.") from e
    user = uri.removeprefix("sip:").partition("@")[0]
    return f"sip:{user}@{address}:{port}"


def mind_live_calls(settings: Settings, *, yes: bool, ask: bool) -> None:
    """Ask before the live calls of a working appliance are disturbed. Raises UserError: no."""
    live = live_calls(settings)
    if not live or yes:
        return
    question = f"{counted(live, 'live call')} on this appliance may be disturbed."
    if not ask or not sys.stdin.isatty():
        raise UserError(f"{question} Rehearse at another time, or with --yes.")
    if not click.confirm(f"{question} Go on?", default=False, err=True):
        raise UserError("Nothing was called.")


def live_calls(settings: Settings) -> int:
    """Calls that the worker of these settings has now; 0 where none runs."""
    url = f"http://{settings.worker.reached}:{settings.worker.port}/health"
    try:
        health = direct.get(url, timeout_s=HEALTH_TIMEOUT_S, most_bytes=HEALTH_BYTES).body
        return int(orjson.loads(health).get("calls", 0))  # of one that drains, too
    except (OSError, ValueError, AttributeError):
        return 0


def _number(settings: Settings) -> str:
    """A number that is answered."""
    try:
        numbers = [
            assignment.did for assignment in answer(settings, load_assignments, ASK_TIMEOUT_S)
        ]
    except UserError:
        return SAMPLE_DID  # no database here: the first call will tell whether anybody answers
    if ANY_DID in numbers or not numbers:
        return SAMPLE_DID
    return numbers[0]


def _agent(settings: Settings, did: str) -> Agent:
    country = settings.switch.country
    found = answer(settings, lambda engine: load_assignment(engine, did, country), ASK_TIMEOUT_S)
    if found is None:
        raise UserError(f"No agent answers {did}. `ivr numbers` lists those that are answered.")
    return found.agent
