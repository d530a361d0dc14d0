"""A bundle is read as it was signed, or not at all."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.ops.releases import signing
from appliance.ops.releases.bundlefile import MANIFEST, SIGNATURE, Reader, entry_of, opened, write
from appliance.ops.releases.manifest import Entry, Manifest, is_safe, parse
from appliance.ops.releases.signing import PublicKey, make_keys, public_beside, read_private

FILES = {
    "wheels/a-1.whl": b"one" * 1000,
    "share/migrations/env.py": b"",
    f"models/{'x' * 120}": b"m",
}
ABOUT = ("0.2.0", "abc", "0004", "3.11", "2026-11-21T10:00:00+00:00")


class Kit:
    """A key pair and a good bundle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public = make_keys(folder / "key")
        self.private = read_private(folder / "key")
        self.files = {}
        for number, (path, data) in enumerate(FILES.items()):
            self.files[path] = folder / f"file{number}"
            self.files[path].write_bytes(data)
        entries = tuple(entry_of(path, file) for path, file in self.files.items())
        self.manifest = Manifest(*ABOUT, files=entries)
        self.bundle = folder / "bundle.tar"
        write(self.bundle, self.manifest, self.files, self.private)

    def read(self, data: bytes, key: PublicKey | None = None) -> None:
        """Raises what the reader raises; nothing may be written outside of the folder."""
        target = self.folder / "out"
        target.mkdir(exist_ok=True)
        Reader(io.BytesIO(data), key or self.public).extract(target)

    def tar(self, *members: tuple[tarfile.TarInfo | str, bytes]) -> bytes:
        """A tar made by tarfile, headed by the good manifest and signature."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            said = self.manifest.serialise()
            for name, data in [
                (MANIFEST, said),
                (SIGNATURE, signing.sign(said, self.private)),
                *members,
            ]:
                info = tarfile.TarInfo(name) if isinstance(name, str) else name
                if info.isreg():
                    info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_what_was_put_in_comes_out(kit: Kit, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    out = tmp_path / "out"
    with opened(kit.bundle, kit.public) as reader:
        assert reader.manifest == kit.manifest
        reader.extract(out, lambda done, total: seen.append((done, total)))
    assert {path: (out / path).read_bytes() for path in FILES} == FILES
    assert seen[-1] == (kit.manifest.size, kit.manifest.size) and len(seen) == len(FILES)
    with opened(kit.bundle, kit.public) as reader:
        reader.check()


def test_every_tar_program_lists_it(kit: Kit) -> None:
    with tarfile.open(kit.bundle) as tar:
        names = tar.getnames()
    assert names[:3] == [MANIFEST, SIGNATURE, "wheels/a-1.whl"]
    assert names[-1] == f"long/{kit.manifest.files[-1].sha256}"


def test_each_flipped_byte_is_found(kit: Kit) -> None:
    good = kit.bundle.read_bytes()
    manifest = good.index(b'"version"')
    signature = good.index(b"manifest.sig") + 512
    for at in (manifest, signature, good.index(b"oneone") + 5, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(UserError):
            kit.read(bytes(bad))
        _empty(kit.folder / "out")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_gets_through(kit: Kit, data: st.DataObject) -> None:
    """One byte anywhere but in the fields of a header that say nothing of the contents."""
    good = kit.bundle.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UserError):
        Reader(io.BytesIO(bytes(bad)), kit.public).check()


@pytest.mark.parametrize("keep", [0, 100, 512, 1000, 3000, -512, -1])
def test_a_truncated_one_is_refused(kit: Kit, keep: int) -> None:
    good = kit.bundle.read_bytes()
    with pytest.raises(UserError, match=r"too early|not signed|header"):
        kit.read(good[:keep])


def test_another_key_is_refused(kit: Kit, tmp_path: Path) -> None:
    other = make_keys(tmp_path / "other")
    with pytest.raises(UserError, match="not signed by the key"):
        kit.read(kit.bundle.read_bytes(), other)
    assert not any((kit.folder / "out").iterdir())


def _first(name: str = "wheels/a-1.whl") -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def _typed(kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = _first()
    info.type, info.linkname = kind, link
    return info


HOSTILE: dict[str, Callable[[Kit], list[tuple[tarfile.TarInfo | str, bytes]]]] = {
    "traversal": lambda kit: [("../../etc/passwd", b"x")],
    "absolute": lambda kit: [("/etc/passwd", b"x")],
    "symlink": lambda kit: [(_typed(tarfile.SYMTYPE, "/etc/passwd"), b"")],
    "hardlink": lambda kit: [(_typed(tarfile.LNKTYPE, "/etc/passwd"), b"")],
    "device": lambda kit: [(_typed(tarfile.CHRTYPE), b"")],
    "fifo": lambda kit: [(_typed(tarfile.FIFOTYPE), b"")],
    "folder": lambda kit: [(_typed(tarfile.DIRTYPE), b"")],
    "long name": lambda kit: [("wheels/" + "a" * 200, b"x")],
    "oversize": lambda kit: [("wheels/a-1.whl", FILES["wheels/a-1.whl"] + b"more")],
    "wrong hash": lambda kit: [("wheels/a-1.whl", b"two" * 1000)],
    "other order": lambda kit: [("share/migrations/env.py", b"")],
    "missing": lambda kit: [("wheels/a-1.whl", FILES["wheels/a-1.whl"])],
    "extra": lambda kit: [
        *((entry.member, FILES[entry.path]) for entry in kit.manifest.files),
        ("wheels/b-1.whl", b"x"),
    ],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_one_is_refused(kit: Kit, kind: str) -> None:
    with pytest.raises(UserError, match="The bundle is not good: ") as refused:
        kit.read(kit.tar(*HOSTILE[kind](kit)))
    assert "\n" not in str(refused.value)
    written = {p.name for p in (kit.folder / "out").rglob("*") if p.is_file()}
    assert written <= {name.rpartition("/")[2] for name in FILES}


def test_pax_headers_are_not_even_read(kit: Kit) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(MANIFEST)
        info.pax_headers = {"path": "x" * 5000}
        tar.addfile(info)
    with pytest.raises(UserError, match="regular file"):
        kit.read(out.getvalue())


def test_a_huge_manifest_is_not_read(kit: Kit) -> None:
    info = tarfile.TarInfo(MANIFEST)
    info.size = 1 << 40
    with pytest.raises(UserError, match="more than"):
        kit.read(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 5000)


def test_links_laid_in_the_way_are_not_followed(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "wheels").mkdir(parents=True)
    (tmp_path / "out" / "wheels" / "a-1.whl").symlink_to(tmp_path / "outside" / "caught")
    with pytest.raises(OSError):
        kit.read(kit.bundle.read_bytes())
    assert not any((tmp_path / "outside").iterdir())


@pytest.mark.parametrize(
    "path",
    ["../x", "wheels/../x", "/wheels/x", "wheels//x", "wheels/.", "wheels/..", "wheels/x\0", "x",
     "etc/x", "wheels/x\n", "wheels/ ", "wheels/", "wheels/\udcff", "wheels\\x", "wheels/é",
     "wheels/" + "a" * 600],
)  # fmt: skip
def test_paths_that_no_file_may_have(path: str) -> None:
    assert not is_safe(path)


CHANGES: dict[str, object] = {
    "format": 2,
    "version": "1.0 beta",
    "made_at": "2026-11-21T10:00:00",
    "schema": "../x",
    "commit": 7,
    "files": [],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_that_is_not_good(kit: Kit, name: str) -> None:
    told = orjson.loads(kit.manifest.serialise())
    with pytest.raises(UserError):
        parse(orjson.dumps(told | {name: CHANGES[name]}))
    del told[name]
    with pytest.raises(UserError):
        parse(orjson.dumps(told))


@pytest.mark.parametrize(
    "wrong",
    [{"size": -1}, {"size": True}, {"size": 1 << 50}, {"sha256": "x"}, {"mode": 0o4755},
     {"path": "../x"}, {"path": 1}, {"more": 1}, {"sha256": None}],
)  # fmt: skip
def test_an_entry_that_is_not_good(kit: Kit, wrong: dict[str, object]) -> None:
    told = orjson.loads(kit.manifest.serialise())
    told["files"][0] |= wrong
    with pytest.raises(UserError):
        parse(orjson.dumps(told))


@pytest.mark.parametrize("second", ["wheels/a", "wheels/A", "wheels/a/b"])
def test_paths_that_hide_each_other(kit: Kit, second: str) -> None:
    one = Entry("wheels/a", 0, "0" * 64)
    manifest = replace(kit.manifest, files=(one, replace(one, path=second)))
    with pytest.raises(UserError):
        parse(manifest.serialise())


@given(st.binary(max_size=2000))
@settings(max_examples=200)
def test_any_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(UserError):
        parse(data)


def test_a_file_that_changes_while_it_is_read_makes_no_bundle(kit: Kit, tmp_path: Path) -> None:
    kit.files["wheels/a-1.whl"].write_bytes(b"two" * 1000)
    out = tmp_path / "second.tar"
    with pytest.raises(UserError, match="changed while"):
        write(out, kit.manifest, kit.files, kit.private)
    assert not out.exists() and not list(tmp_path.glob("*.partial"))


# --- keys -----------------------------------------------------------------------------------------


def test_the_first_key_is_kept_and_no_other_taken(kit: Kit, tmp_path: Path) -> None:
    pinned = tmp_path / "etc" / "release.pub"
    with pytest.raises(UserError, match="trusts no key"):
        signing.trusted(None, pinned)
    first = signing.trusted(public_beside(tmp_path / "key"), pinned)
    signing.pin(first, pinned)
    make_keys(tmp_path / "other")
    assert signing.trusted(None, pinned).pem == kit.public.pem
    with pytest.raises(UserError, match="not the key that this box trusts"):
        signing.trusted(public_beside(tmp_path / "other"), pinned)
    signing.pin(signing.read_public(public_beside(tmp_path / "other")), pinned)
    assert signing.trusted(None, pinned).pem == kit.public.pem


def test_keys_are_made_once_and_for_us_alone(tmp_path: Path) -> None:
    make_keys(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="never overwritten"):
        make_keys(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_private(tmp_path / "key")
    public_beside(tmp_path / "key").chmod(0o600)
    with pytest.raises(UserError, match="no private key"):
        read_private(public_beside(tmp_path / "key"))
    with pytest.raises(UserError, match="no public key"):
        signing.read_public(tmp_path / "key")


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
