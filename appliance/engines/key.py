"""The key of the engine servers: what they ask for, and what is sent to which of them.

They hear callers and speak to them, so whoever reaches their port must not: each request and each
opening of a websocket brings ``Authorization: Bearer KEY``, the same for all of a stage.
:mod:`appliance.engines.door` is the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from appliance.errors import UserError
from appliance.metrics.access import is_local
from appliance.settings import ENGINES_SECRET, Settings, Stage

KeyFor = Callable[[str], str]
"""The key that is sent to a server, by its URL; empty: none is."""


def headers_of(key: str) -> Mapping[str, str]:
    """What every request to a server brings that asks for ``key``; empty: it asks for none."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def no_key(url: str) -> str:
    """Of servers that ask for none."""
    return ""


def key_for(settings: Settings, stage: Stage, *, make: bool = True) -> KeyFor:
    """The keys of a stage's servers.

    One that the settings name is sent to each of them. The generated one never leaves this machine:
    ``urls`` may be anybody's. Who only looks does not ``make`` it: it would be another user's.
    """
    if named := stage.api_key or settings.engines.key:
        return lambda url: named

    def own(url: str) -> str:
        try:
            here = is_local(urlsplit(url).hostname or "")
        except ValueError:  # what a resolver would not take either
            return ""
        there = make or (settings.secrets_dir / ENGINES_SECRET).exists()
        return settings.secret(ENGINES_SECRET) if here and there else ""

    return own


def key_of_ours(settings: Settings, stage: Stage) -> str:
    """What the servers of a stage ask for that we run. Raises UserError where the key is neither
    there nor can be made."""
    try:
        return stage.api_key or settings.engines.key or settings.secret(ENGINES_SECRET)
    except OSError as e:
        raise UserError(
            f"The key that engine servers ask for cannot be read or made ({e}). Set engines.key, or"
            f" run as who may write in {settings.secrets_dir}."
        ) from e
