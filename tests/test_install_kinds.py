"""DATABASE=auto and REDIS=auto: decided once, of fresh lists, never against what a box has already."""

from __future__ import annotations

from pathlib import Path

import pytest
from installer_kit import bash, program

PARTS = ("say", "places", "facts", "questions", "packages", "database", "redis", "uninstall")
ALL = "flite espeak-ng python3 python3-venv ca-certificates openssl iproute2 procps nftables"
OFFERS = '[ -f {lists} ] && grep -qx "$2 .*" {lists} && sed -n "s/^$2 /  Candidate: /p" {lists}'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A machine whose image has no lists of apt's, and every package but the servers'."""
    for name in ("data/postgres", "data/redis", "state"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "installed").write_text("".join(f"{name}\n" for name in ALL.split()))
    (tmp_path / "mirror").write_text("redis-server 5:7.0\n")
    lists, installed = tmp_path / "lists", tmp_path / "installed"
    program(tmp_path / "bin", "apt-cache", OFFERS.format(lists=lists))
    program(
        tmp_path / "bin", "dpkg-query", f'grep -qx "${{@: -1}}" {installed} && printf installed'
    )
    program(
        tmp_path / "bin", "apt-get",
        f"""echo "apt-get $*" >>{tmp_path}/said
for word; do case $word in
    update) cp {tmp_path}/mirror {lists} ;;
    install) adding=1 ;;
    -*) ;;
    *) [ -z "${{adding:-}}" ] || echo "$word" >>{installed} ;;
esac; done""",
    )  # fmt: skip
    return tmp_path


def run(place: Path, script: str, *, offline: str = "") -> str:
    """What ``script`` prints."""
    lines = [f"{name.upper()}={place}/{name}" for name in ("data", "state")]
    lines += [f"SETTINGS={place}/ivr.toml", f"REDIS_CONF={place}/redis-ivr.conf"]
    lines += ["ANSWER[DATABASE]=auto", "ANSWER[REDIS]=auto", f"OFFLINE={offline}"]
    lines += ["ANSWER[FIREWALL]=yes", "ANSWER[FAIL2BAN]=no", "chown() { :; }"]
    lines += [f"BUNDLE={place}/bundle"]
    done = bash("\n".join([*lines, script]), parts=PARTS, path=place / "bin")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_machine_without_lists_is_asked_once_they_are_there(place: Path) -> None:
    """Else a server would be wanted in the middle of a run that has not installed it."""
    run(place, "packages_done && exit 9; packages_do >&2; packages_done")
    assert "redis-server\n" in (place / "installed").read_text()
    assert run(place, "redis_kind; database_kind") == "package\nembedded\n"
    said = (place / "said").read_text()
    assert said.count(" update") == 1 and said.count(" install ") == 1


def test_what_was_decided_stays_whatever_apt_offers(place: Path) -> None:
    run(place, "packages_do >&2")
    (place / "lists").write_text("postgresql-16-pgvector 0.8.0-1\n")
    kinds = "packages_done; redis_kind; database_kind"
    assert run(place, kinds) == run(place, kinds, offline="x") == "package\nembedded\n"
    assert run(place, "ANSWER[REDIS]=embedded; packages_done && exit 9; redis_kind") == "embedded\n"


def test_data_that_are_here_are_not_left_for_a_server_of_apts(place: Path) -> None:
    """Of an installation that has kept nothing of what it decided."""
    (place / "lists").write_text("postgresql-16-pgvector 0.8.0-1\nredis-server 5:7.0\n")
    assert run(place, "database_kind; redis_kind") == "package\npackage\n"
    assert run(place, "database_kind; redis_kind", offline="x") == "embedded\nembedded\n"
    for name in ("postgres", "redis"):
        (place / "data" / name / "files").touch()
    assert run(place, "database_kind; redis_kind") == "embedded\nembedded\n"


def test_a_packages_servers_are_kept_by_a_bundle(place: Path) -> None:
    (place / "redis-ivr.conf").write_text("requirepass x\n")
    (place / "ivr.toml").write_text('url = "postgresql://ivr@/ivr?host=/var/run/postgresql"\n')
    assert run(place, "database_kind; redis_kind", offline="x") == "package\npackage\n"


def test_postgres_stays_at_its_major_version(place: Path) -> None:
    """A newer one would be an empty server beside it."""
    lists = "postgresql-16-pgvector 0.8.0-1\npostgresql-18-pgvector 0.8.0-1\n"
    (place / "lists").write_text(lists)
    assert run(place, "pgvector_packages").split()[0] == "postgresql-18"
    with (place / "installed").open("a") as installed:
        installed.write("postgresql-16-pgvector\n")
    assert run(place, "pgvector_packages").split()[0] == "postgresql-16"


def test_a_bundle_that_lacks_a_package_ends_it(place: Path) -> None:
    (place / "bundle/debs").mkdir(parents=True)
    (place / "bundle/debs/flite_2.2.deb").touch()
    (place / "installed").write_text(ALL.replace(" ", "\n").replace("python3-venv\n", ""))
    told = run(place, "set +e; (set -e; packages_do); echo status $?", offline="x")
    assert "missing still: python3-venv" in told and told.endswith("status 1\n")


def test_another_answer_takes_the_url_and_the_server_away(place: Path) -> None:
    """Else the embedded one would find its port taken, and nobody would ask it."""
    conf, said = place / "redis-ivr.conf", place / "systemctl.said"
    conf.write_text("requirepass x\n")
    program(place / "bin", "systemctl", f'echo "$*" >>{said}')
    settings = ". $PARTS/configuration.sh; MEMORY=$STATE/memory; settings_wanted() { setting {}; }"
    merged = 'settings_wanted | python3 "$PARTS/merge.py" $(urls_of_ours) "$SETTINGS" "$MEMORY"'

    def told(answer: str, wanted: str) -> str:
        script = f"ANSWER[REDIS]={answer}; {settings.replace('{}', wanted)}; redis_done || redis_do"
        run(place, f"{script}; {merged} >&2")
        return (place / "ivr.toml").read_text()

    assert 'url = "redis://x"' in told("package", "redis.url redis://x")
    assert not said.exists() or "disable" not in said.read_text()
    assert "redis://x" not in told("embedded", "sip.host 192.0.2.1")
    assert not conf.exists() and "disable --now redis-server@ivr" in said.read_text()


PSQL = """case "$*" in
    *FROM\\ pg_extension*) [ -f {place}/db ] && cat {place}/vector || exit 2 ;;
    *FROM\\ pg_database*) [ ! -f {place}/db ] || echo 1 ;;
    *FROM\\ pg_roles*) echo 1 ;;
    *CREATE\\ DATABASE*) [ ! -f {place}/db ] || exit 1; touch {place}/db ;;
    *CREATE\\ EXTENSION*) echo 1 >{place}/vector ;;
esac"""


def test_a_database_without_its_extension_is_not_done(place: Path) -> None:
    """As a kill between the two leaves it."""
    program(place / "bin", "runuser", PSQL.format(place=place))
    program(place / "bin", "systemctl", ":")
    (place / "lists").write_text("postgresql-16-pgvector 0.8.0-1\n")
    (place / "vector").write_text("0\n")
    (place / "db").touch()
    run(place, "ANSWER[DATABASE]=package; database_done && exit 9; database_do; database_done")
    (place / "db").unlink()
    run(place, "ANSWER[DATABASE]=package; database_done && exit 9; database_do; database_done")
