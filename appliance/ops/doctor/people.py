"""Somebody can log in to the console, it answers, and those who may do much prove themselves twice."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import aiohttp

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.store.health import read_people
from appliance.urls import in_url, reached

MOST_NAMED = 5
TIMEOUT_S = 4.0


async def look_at_people(box: Box) -> Sequence[Finding]:
    """Rows of users."""
    if not box.settings.admin.enabled:
        return [Finding("users", State.SKIPPED, "admin.enabled is off.")]
    async with box.engine.connect() as connection:
        people = await read_people(connection)
    found = []
    if not people.operators:
        do = "Make one: ivr users create NAME --role operator"
        what = "No operator can log in to the console."
        found.append(Finding("users", State.WARNING, what, do, code="no-operator"))
    if bare := people.powerful_without_factor:
        named = ", ".join(bare[:MOST_NAMED])
        what = worded(
            "{count} operators and admins have no second factor: {named}.",
            count=len(bare),
            named=named,
        )
        do = 'Each enrols under My account; admin.second_factor = "required" makes them.'
        found.append(Finding("users", State.WARNING, what, do, code="no-second-factor"))
    good = worded(
        "{count} people may log in; operators and admins have a second factor.",
        count=people.enabled,
    )
    return found or [Finding("users", State.GOOD, good)]


async def look_at_console(box: Box) -> Sequence[Finding]:
    """Whether its login page is answered."""
    admin = box.settings.admin
    if not admin.enabled:
        return [Finding("console", State.SKIPPED, "admin.enabled is off.")]
    host = in_url(reached(admin.host))
    url = f"{'https' if admin.tls else 'http'}://{host}:{admin.port}/health"
    # whose certificate it is, is not asked here: it may be one of our own making
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with box.http.get(url, ssl=context, timeout=timeout) as response:
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        do = "Start `ivr admin` (or `ivr up`); its log says why it ended. Calls go on without it."
        what = worded("The console does not answer at {url}.", url=url)
        return [Finding("console", State.WARNING, what, do)]
    if status >= 500:
        do = "See the log of `ivr admin`."
        return [
            Finding(
                "console", State.WARNING, worded("The console answers {status}.", status=status), do
            )
        ]
    return [
        Finding(
            "console",
            State.GOOD,
            worded("The console answers at {url}.", url=url.removesuffix("/health")),
        )
    ]


CHECKS = (
    Check("console", "Console", Group.CONSOLE, look_at_console, how="GET /health"),
    Check("users", "Who may log in", Group.CONSOLE, look_at_people, how="rows of users"),
)
