"""``ivr releases``: what lies here, what is in force, which services run something else."""

from __future__ import annotations

from dataclasses import asdict

from appliance.errors import UserError
from appliance.ops.console import print_json, print_table
from appliance.ops.releases.journal import Journal
from appliance.ops.releases.release import Place, Release
from appliance.ops.releases.units import Unit, Units
from appliance.settings import Settings
from appliance.store import database, schema


def running(units: Units) -> tuple[Unit, ...]:
    """Our services that run; none where no service manager can be asked."""
    try:
        return units.running()
    except UserError:
        return ()


def print_releases(place: Place, units: Units, *, as_json: bool) -> None:
    """All releases, the one in force marked, with the services that run each."""
    now, services = _name_in_force(place), running(units)
    under_way = Journal(place).read()
    if as_json:
        print_json(
            {
                "in_force": now,
                "releases": [_facts(place, one, services) for one in place.known()],
                "cut_short": asdict(under_way) if under_way else None,
            }
        )
        return
    rows = [
        (
            "*" if one.name == now else "", one.name, one.schema, one.made_at[:10], one.commit[:12],
            _runs(place, one, services),
        )
        for one in place.known()
    ]  # fmt: skip
    names = ("", "release", "schema", "made", "commit", "runs")
    print_table(names, rows, f"There are no releases in {place.releases}.")
    if under_way:
        print(f"An upgrade to {under_way.new} was cut short: `ivr upgrade --resume`.")


def _facts(place: Place, release: Release, services: tuple[Unit, ...]) -> dict[str, object]:
    units = [unit.name for unit in _of(release, services)]
    return asdict(release) | {"units": units, "rejected": place.rejected(release.name)}


def _runs(place: Place, release: Release, services: tuple[Unit, ...]) -> str:
    names = [unit.name.removesuffix(".service") for unit in _of(release, services)]
    if place.rejected(release.name):
        names.append("(gone back from)")
    return ", ".join(names) or "-"


def _of(release: Release, services: tuple[Unit, ...]) -> list[Unit]:
    return [unit for unit in services if unit.release == release.name]


def _name_in_force(place: Place) -> str:
    try:
        return place.in_force().name
    except UserError:
        return ""


def remove(place: Place, units: Units, name: str) -> None:
    """Delete a release. Raises UserError for the one in force, and for one that a service runs."""
    if busy := [unit.name for unit in running(units) if unit.release == name]:
        raise UserError(f"{', '.join(busy)} run release {name}; `ivr upgrade --finish` moves them.")
    place.remove(name)


def previous(place: Place) -> str:
    """The latest release before the one in force that the box did not go back from. Raises UserError
    where there is none."""
    earlier = place.earlier()
    if not earlier:
        raise UserError("There is no older release to go back to; `ivr releases list` shows them.")
    return earlier[-1]


def migrate(settings: Settings, under: str | None) -> str:
    """Apply this release's migrations; returns the revision that the database is at.

    ``under``: only what the release whose newest revision it is does not notice; None: all.
    Raises UserError.
    """
    url = database.database_url(settings)
    if under is None:
        database.migrate(url)
    elif target := schema.before_switch(schema.revisions(), schema.current(url), under):
        database.migrate(url, target)
    return schema.current(url)
