"""What is in force stays in force: with Postgres away or standing still, FreeSWITCH away, DNS dead."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import gevent
import pytest
from sqlalchemy import Engine, text

from appliance.settings import Settings, Switch
from appliance.store.database import open_sync_engine
from appliance.store.phonebook import Trunk
from appliance.store.trunks import remove_trunk, save_trunk
from appliance.telephony import roster as roster_module
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.facts import Facts
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.roster import Roster
from appliance.telephony.workers import Workers

pytestmark = pytest.mark.server
TRUNK = Trunk("acme", "192.0.2.7")
LABEL = "a" * 64


class Told(FreeSwitch):
    """Notes what it is told to take in; away as often as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 0
        self.told: list[tuple[list[str], list[str]]] = []
        self.configured = ""

    def reload(self, removed: Sequence[str], changed: Sequence[str] = ()) -> None:
        if self.away:
            self.away -= 1
            raise SwitchError("FreeSWITCH is away")
        self.told.append((list(removed), list(changed)))

    def failure_dial(self) -> str:
        return self.configured


@pytest.fixture
def store(database_url: str) -> Iterator[Engine]:
    engine = open_sync_engine(database_url)
    yield engine
    with engine.begin() as connection:
        remove_trunk(connection, TRUNK.name)
    engine.dispose()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    ports = PlaybackPorts("127.0.0.1", 24000, 10)
    settings = Settings(data_dir=tmp_path, switch=Switch(conf_dir=tmp_path))
    yield Office(settings, Told(), Workers(()), ports, Notices(tmp_path / "notices", ()), "secret")
    ports.close()


def save(engine: Engine, trunk: Trunk) -> None:
    with engine.begin() as connection:
        save_trunk(connection, trunk)


def told(office: Office) -> Told:
    assert isinstance(office.freeswitch, Told)
    return office.freeswitch


def test_a_start_without_postgres_leaves_freeswitch_what_it_has(
    store: Engine, office: Office, tmp_path: Path
) -> None:
    save(store, TRUNK)
    Roster(store, office).refresh(always=True)
    files = sorted((tmp_path / "site").rglob("*.xml"))
    assert "192.0.2.7" in (tmp_path / "site" / "acl.xml").read_text() and len(files) == 2

    nowhere = open_sync_engine("postgresql://nobody@127.0.0.1:9/none")
    again = Office(office.settings, Told(), office.workers, office.ports, office.notices, "secret")
    Roster(nowhere, again).refresh(always=True)
    nowhere.dispose()
    assert sorted((tmp_path / "site").rglob("*.xml")) == files
    assert "192.0.2.7" in (tmp_path / "site" / "acl.xml").read_text()
    assert told(again).told == []


def test_what_freeswitch_could_not_be_told_is_told_at_the_next_look(
    store: Engine, office: Office
) -> None:
    roster = Roster(store, office)
    save(store, TRUNK)
    roster.refresh()
    save(store, Trunk("acme", "192.0.2.8"))
    told(office).away = 2
    roster.look()  # goes on whatever happens
    with pytest.raises(SwitchError):
        roster.refresh()
    roster.refresh()
    assert told(office).told == [([], []), ([], ["acme"])]
    roster.refresh()
    assert len(told(office).told) == 2  # and only once


def test_who_is_rung_when_all_fails_goes_by_what_freeswitch_has_read(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    facts = Facts("c1", "1001", "+919800012345")
    office.learn_failure_dial()
    assert office.may_ring_failure_dial(facts)
    told(office).configured = "sofia/gateway/acme/+18765551234"
    office.learn_failure_dial()
    assert not office.may_ring_failure_dial(facts)
    assert "--failure-dial rings nobody" in caplog.text


def test_a_disk_that_takes_nothing_ends_no_process(
    store: Engine, office: Office, tmp_path: Path
) -> None:
    (tmp_path / "site").write_text("in the way")
    save(store, TRUNK)
    roster = Roster(store, office)
    roster.look(always=True)
    assert office.telephony.trunk("acme") and told(office).told == []
    (tmp_path / "site").unlink()
    roster.look()
    assert len(told(office).told) == 1


def test_a_database_that_stands_still_is_not_waited_for(
    store: Engine, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster_module, "READ_TIMEOUT_S", 0.3)
    roster = Roster(store, office)
    save(store, TRUNK)
    with store.begin() as upgrade:
        upgrade.execute(text("LOCK TABLE trunks IN ACCESS EXCLUSIVE MODE"))
        begun = time.monotonic()
        roster.look(always=True)
        roster.read()
        assert time.monotonic() - begun < 10  # the lock is held until after it: for ever
        assert not office.telephony.version
    with gevent.Timeout(20):
        while not office.telephony.trunks:
            roster.look()
    assert told(office).told == [([], [])]


def test_a_name_that_no_resolver_takes_costs_its_own_trunk_alone(
    store: Engine, office: Office, tmp_path: Path
) -> None:
    save(store, TRUNK)
    save(store, Trunk("typo", f"{LABEL}.example"))
    try:
        Roster(store, office).refresh()
        assert office.resolved == {"acme": ("192.0.2.7",), "typo": ()}
        assert "192.0.2.7" in (tmp_path / "site" / "acl.xml").read_text()
    finally:
        with store.begin() as connection:
            remove_trunk(connection, "typo")
