"""``ivr extensions``: the operators' own telephones."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import Connection

from appliance.access.commandline import Act, changing
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table, tell_change
from appliance.settings import Settings
from appliance.store import trunks as store
from appliance.store.database import in_database
from appliance.store.phonebook import Extension
from appliance.telephony.site import DEFAULTS, read_variables

PASSWORD_BYTES = 15
"""120 bits; 20 letters to type into a telephone once."""


def print_extensions(settings: Settings, *, as_json: bool) -> None:
    found = in_database(settings, store.list_extensions)
    if as_json:
        shown = [{"extension": e.extension, "name": e.name, "enabled": e.enabled} for e in found]
        print_json({"extensions": shown})
        return
    print_table(
        ("extension", "name", "state"),
        [(e.extension, e.name, "enabled" if e.enabled else "disabled") for e in found],
        "No extensions. Add one: ivr extensions add 1001 --name Reception",
    )


def add(settings: Settings, extension: str, name: str, *, as_json: bool) -> None:
    """Add a telephone, or give it a new password, which is shown once and not kept.

    Raises UserError.
    """
    domain = domain_of(settings)
    act = Act("extension.save", extension, {"name": name})
    password = changing(settings, lambda c: save(c, extension, name, domain), act)
    facts = {"action": "added", "extension": extension, "domain": domain, "password": password}
    tell_change(settings, f"Extension {extension} added.", facts, [], as_json)
    if not as_json:
        print(f"Set up the telephone: user {extension}, domain (realm) {plain(domain)},")
        print(f"password {password}   (shown this once)")


def remove(settings: Settings, extension: str, *, as_json: bool) -> None:
    """Raises UserError when there is no such extension."""
    act = Act("extension.remove", extension)
    notes = changing(settings, lambda connection: delete(connection, extension), act)
    facts = {"action": "removed", "extension": extension}
    tell_change(settings, f"Extension {extension} removed.", facts, notes, as_json)


def save(connection: Connection, extension: str, name: str, domain: str) -> str:
    """Add a telephone of ``domain``, or give it a new password: the password, which is kept nowhere.

    Raises UserError.
    """
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    row = Extension(extension, a1_hash(extension, domain, password), name)
    store.save_extension(connection, row)
    return password


def delete(connection: Connection, extension: str) -> list[str]:
    """Take it away; what still names it. Raises UserError when there is no such extension."""
    if not store.remove_extension(connection, extension):
        raise UserError(f"There is no extension {extension!r}.")
    using = [q.name for q in store.list_queues(connection) if extension in q.members]
    return [f"queue {name} still has {extension} as a member" for name in using]


def a1_hash(extension: str, realm: str, password: str) -> str:
    """MD5(extension:realm:password), what digest authentication needs (RFC 7616 §3.4.2)."""
    return hashlib.md5(f"{extension}:{realm}:{password}".encode()).hexdigest()


def domain_of(settings: Settings) -> str:
    """The telephones' domain, as ``ivr switch configure`` set it. Raises UserError."""
    path = settings.switch.conf_dir / "site" / "vars.xml"
    try:
        return read_variables(path.read_text()).get("domain", DEFAULTS["domain"])
    except FileNotFoundError:
        return DEFAULTS["domain"]
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}. Run this as a user who may.") from e
