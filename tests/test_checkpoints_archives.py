"""Archives and folders that strangers bring: nothing is written outside, nothing is read outside."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from appliance.checkpoints import disk
from appliance.checkpoints.archives import copy_folder, unpack
from appliance.errors import UserError
from tests.model_hub import zipped

GOOD = {"m/config.json": b"{}", "m/model.bin": b"0123456789" * 1000}


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_good_archive_is_unpacked(tmp_path: Path, kind: str) -> None:
    archive, told = tmp_path / "a", []
    if kind == "zip":
        archive.write_bytes(zipped(GOOD))
    else:
        tarred(archive, *((tarfile.TarInfo(name), data) for name, data in GOOD.items()))
    unpack(archive, tmp_path / "out", told.append)
    assert {n: (tmp_path / "out" / n).read_bytes() for n in GOOD} == GOOD
    assert sum(told) == sum(map(len, GOOD.values()))


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:/evil", "a/.."]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_climbs_out_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    archive, out = tmp_path / "a", tmp_path / "deep" / "out"
    if kind == "zip":
        archive.write_bytes(zipped({**GOOD, name: b"evil"}))
    else:
        tarred(archive, (tarfile.TarInfo("ok"), b"ok"), (tarfile.TarInfo(name), b"evil"))
    with pytest.raises(UserError, match=r"refused.*outside"):
        unpack(archive, out)
    assert everything_below(tmp_path) == {"a"}  # looked at whole before anything is written


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("config.json")
        member.type, member.linkname = kind, "/etc/passwd"
        with pytest.raises(UserError, match="link or a device"):
            unpack(tarred(tmp_path / "a", (member, b"")), tmp_path / "out")
    link = zipfile.ZipInfo("config.json")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="link or a device"):
        unpack(tmp_path / "z", tmp_path / "out")


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a", (tarfile.TarInfo("x"), b"1"), (tarfile.TarInfo("x"), b"2"))
    with pytest.raises(UserError, match="Two files"):
        unpack(archive, tmp_path / "out")


def test_a_damaged_archive_is_said_to_be(tmp_path: Path) -> None:
    data = bytearray(zipped({"m/model.bin": os.urandom(100_000)}))
    data[5000:5100] = bytes(100)
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a", tmp_path / "out")
    (tmp_path / "b").write_bytes(data[:50_000])  # cut short
    with pytest.raises(UserError, match="neither a zip nor a tar"):
        unpack(tmp_path / "b", tmp_path / "out")
    whole = tarred(tmp_path / "t", (tarfile.TarInfo("x"), os.urandom(100_000))).read_bytes()
    (tmp_path / "t").write_bytes(whole[:60_000])
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "t", tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("model.bin")
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(10_000))
    data = bytearray((tmp_path / "a").read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = (0xFFFFFFF0).to_bytes(4, "little")  # 4 GB, it says
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(UserError, match=r"ends .* too early|damaged|free"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_a_tar_whose_headers_are_a_bomb_is_refused(tmp_path: Path) -> None:
    """4 MB that would take 900 MB of memory: a name, an extension, directories without number."""
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        header = tarfile.TarInfo("x")
        header.size, header.type = 100 << 20, kind
        with gzip.open(tmp_path / "a", "wb", 1) as out:
            out.write(header.tobuf(tarfile.GNU_FORMAT))
            for _ in range(101):
                out.write(bytes(1 << 20))
        tracemalloc.start()
        with pytest.raises(UserError, match="headers of its files are too long"):
            unpack(tmp_path / "a", tmp_path / "out")
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 10 << 20
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    with gzip.open(tmp_path / "a", "wb", 1) as out:
        out.write(folder.tobuf(tarfile.GNU_FORMAT) * 140_000)
    with pytest.raises(UserError, match="headers of its files are too long"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="is not a file"):
            unpack(place, tmp_path / "out")


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_tar_is_unpacked(tmp_path: Path, kind: str) -> None:
    data = os.urandom(3 << 20)
    with tarfile.open(tmp_path / "a", kind) as archive:  # type: ignore[call-overload]
        for name in ("m/" + "n" * 180, "m/small"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    unpack(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out" / "m" / "small").read_bytes() == data
    assert (tmp_path / "out" / "m" / ("n" * 180)).read_bytes() == data


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(zipped({f"f{n}": b"" for n in range(10_001)}))
    with pytest.raises(UserError, match="more than 10000 files"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "MARGIN_BYTES", 1 << 60)
    (tmp_path / "a").write_bytes(zipped(GOOD))
    with pytest.raises(UserError, match=r"free.*are needed"):
        unpack(tmp_path / "a", tmp_path / "out")
    with pytest.raises(UserError, match="are needed"):
        copy_folder(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_copied_without_its_hidden_files(tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "sub").mkdir(parents=True)
    (source / ".cache").mkdir()
    (source / ".cache" / "x").touch()
    (source / "sub" / "a").write_bytes(b"a")
    (source / "b").symlink_to("sub/a")  # stays inside
    copy_folder(source, tmp_path / "out")
    assert everything_below(tmp_path / "out") == {"sub/a", "b"}
    assert (tmp_path / "out" / "b").read_bytes() == b"a"
    assert not (tmp_path / "out" / "b").is_symlink()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    (tmp_path / "secret").write_text("secret")
    (source / "config.json").symlink_to("../secret")
    with pytest.raises(UserError, match="link out of the folder"):
        copy_folder(source, tmp_path / "out")
    (source / "config.json").unlink()
    (source / "sub").symlink_to("/etc")
    with pytest.raises(UserError, match="link out of the folder"):
        copy_folder(source, tmp_path / "out")


def test_a_snapshot_of_the_hubs_cache_is_copied_by_its_links(tmp_path: Path) -> None:
    repository = tmp_path / "models--a--b"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "123").write_bytes(b"weights")
    (snapshot / "model.bin").symlink_to("../../blobs/123")
    copy_folder(snapshot, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == b"weights"
