"""Files written whole: contents, permissions, and what a failure leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.files import write_whole


@pytest.mark.parametrize("sync", [False, True])
def test_the_new_contents_take_the_place_of_the_old(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "not" / "yet" / "plan.json"
    for data in (b"longer than the next", b"next"):
        write_whole(path, data, sync=sync)
        assert path.read_bytes() == data
    assert [file.name for file in path.parent.iterdir()] == ["plan.json"]


def test_permissions_are_those_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "shared", b"", mode=0o640)
        write_whole(tmp_path / "own", b"")
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("shared", "own")]
    assert modes == [0o640, 0o600]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").write_bytes(b"old")
    with pytest.raises(OSError):
        write_whole(folder, b"new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["taken"]
    assert (folder / "inside").read_bytes() == b"old"
