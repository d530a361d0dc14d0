"""installer/bundle.sh: what `ivr bundle` made is opened by openssl and tar alone, or not at all."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from installer_kit import bash

from appliance.ops.releases import bundlefile, signing
from appliance.ops.releases.manifest import Manifest

LONG = "models/" + "/".join(["a-folder-with-a-long-name"] * 5) + "/weights.bin"
FILES = {
    "wheels/ivr_appliance-1.2.3-py3-none-any.whl": b"wheel",
    "share/install.sh": b"#!/bin/sh\n",
    "about/requirements.txt": b"x==1\n",
    "models/a name/with space.txt": b"model",
    LONG: b"weights" * 1000,
}
OPEN = """
open_bundle "$FILE" "${NAMED:-}"
echo "$(manifest_field version)"
cat "$BUNDLE/$SHOW"
touch "$RAN"
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signing.make_keys(tmp_path / "release.key")
    return tmp_path / "release.key.pub"


@pytest.fixture
def bundle(tmp_path: Path, key: Path) -> Path:
    """A good one."""
    files = {}
    for name, data in FILES.items():
        files[name] = tmp_path / "files" / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(data)
    entries = tuple(bundlefile.entry_of(name, file) for name, file in files.items())
    manifest = Manifest("1.2.3", "abc", "0004", "3.11", "2026-11-21T10:00:00+00:00", entries)
    out = tmp_path / "good.tar"
    bundlefile.write(out, manifest, files, signing.read_private(tmp_path / "release.key"))
    return out


def opened(
    tmp_path: Path, bundle: Path, key: Path | None, show: str = LONG
) -> tuple[int, str, str]:
    """Status and what was said; ``/etc/ivr`` is a folder of the test's."""
    environment = {"FILE": str(bundle), "SHOW": show, "RAN": str(tmp_path / "ran")}
    if key is not None:
        environment["NAMED"] = str(key)
    (tmp_path / "etc").mkdir(exist_ok=True)
    script = f"ETC={tmp_path}/etc\ntrap 'rm -rf ${{BUNDLE:-}}' EXIT\n{OPEN}"
    done = bash(script, parts=("say", "places", "bundle"), environment=environment)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_good_bundle_is_opened(tmp_path: Path, bundle: Path, key: Path, name: str) -> None:
    status, out, said = opened(tmp_path, bundle, key, name)
    assert status == 0, said
    assert out == "1.2.3\n" + FILES[name].decode()


def test_without_a_key_nothing_is_trusted(tmp_path: Path, bundle: Path) -> None:
    status, _, said = opened(tmp_path, bundle, None)
    assert status == 1 and "--key" in said


def test_the_key_that_the_box_has_is_the_one(tmp_path: Path, bundle: Path, key: Path) -> None:
    signing.make_keys(tmp_path / "other.key")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/release.pub").write_bytes(key.read_bytes())
    assert opened(tmp_path, bundle, None)[0] == 0
    status, _, said = opened(tmp_path, bundle, tmp_path / "other.key.pub")
    assert status == 1 and "not the key that this box trusts" in said


def test_the_key_of_another_opens_nothing(tmp_path: Path, bundle: Path) -> None:
    signing.make_keys(tmp_path / "other.key")
    status, _, said = opened(tmp_path, bundle, tmp_path / "other.key.pub")
    assert status == 1 and "not signed by" in said and not (tmp_path / "ran").exists()


def _flip(data: bytes, at: bytes) -> bytes:
    place = data.index(at)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _with(data: bytes, member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    out = io.BytesIO(data)
    with tarfile.open(fileobj=out, mode="a", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, to: str = "", size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, to, size
    return info


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: _flip(d, b"1.2.3"), "not signed by"),
        (lambda d: _flip(d, b"weightsweights"), "not what was signed"),
        (lambda d: _with(d, _member("wheels/extra.whl")), "does not hold what its manifest lists"),
        (lambda d: _with(d, _member("../../etc/passwd")), "does not hold"),
        (lambda d: _with(d, _member("wheels/l", tarfile.SYMTYPE, "/etc")), "does not hold"),
        (lambda d: _with(d, _member("share/install.sh", size=4), b"evil"), "does not hold"),
        (lambda d: d[: len(d) // 2], "The bundle is not good"),
        (lambda d: b"", "does not begin with a signed manifest"),
        (lambda d: b"no tar at all" * 1000, "does not begin with a signed manifest"),
    ],
)
def test_what_was_changed_is_refused_before_it_is_used(
    tmp_path: Path, bundle: Path, key: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(change(bundle.read_bytes()))
    status, _, said = opened(tmp_path, bad, key)
    assert status == 1 and words in said, said
    assert "Nothing of it was used" in said and not (tmp_path / "ran").exists()


def test_what_a_killed_run_left_goes_and_what_another_has_open_stays(tmp_path: Path) -> None:
    left, others = tmp_path / "opened.4194305.Ab1", tmp_path / "opened.1.Cd2"  # no such pid; PID 1
    for folder in (left, others):
        folder.mkdir()
        (folder / "weights.bin").touch()
    done = bash(f"OPENED={tmp_path}/opened; clear_opened", parts=("say", "places", "bundle"))
    assert done.returncode == 0, done.stderr
    assert others.exists() and not left.exists()
