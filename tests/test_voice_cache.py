"""The cache of repeated phrases: both tiers, bounds, damage."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.models import voice_cache
from appliance.models.voice_cache import SUFFIX, VoiceCache, key

PCM = bytes(range(256)) * 4
NAME = key(("model", "hi-female", 8000, "नमस्ते"))


@pytest_asyncio.fixture
async def cache(tmp_path: Path) -> AsyncIterator[VoiceCache]:
    yield VoiceCache(tmp_path / "voices")


def files(folder: Path) -> list[Path]:
    return sorted((folder / "voices").glob("*")) if (folder / "voices").exists() else []


async def test_what_is_asked_for_once_never_gets_to_the_disk(
    cache: VoiceCache, tmp_path: Path
) -> None:
    assert await cache.get(NAME) is None
    cache.put(NAME, PCM)
    await cache.flushed()
    assert files(tmp_path) == []


async def test_what_is_asked_for_again_survives_a_restart(
    cache: VoiceCache, tmp_path: Path
) -> None:
    cache.put(NAME, PCM)
    assert await cache.get(NAME) == PCM
    await cache.flushed()
    assert [path.name for path in files(tmp_path)] == [NAME + SUFFIX]
    assert await VoiceCache(tmp_path / "voices").get(NAME) == PCM
    assert (tmp_path / "voices").stat().st_mode & 0o077 == 0


def test_every_part_of_the_key_counts() -> None:
    parts = [("m", "v", 8000, "text"), ("n", "v", 8000, "text"), ("m", "w", 8000, "text"),
             ("m", "v", 16_000, "text"), ("m", "v", 8000, "more"), ("m", "v", 80, "0text")]  # fmt: skip
    assert len({key(each) for each in parts}) == len(parts)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-2],
        lambda data: data[:60] + b"x" + data[61:],
        lambda data: b"",
        lambda data: b"RIFF" + data,
        lambda data: data + bytes(2 << 20),
    ],
)
async def test_a_damaged_file_is_ignored_and_removed(
    cache: VoiceCache, tmp_path: Path, damage: object
) -> None:
    cache.put(NAME, PCM)
    await cache.get(NAME)
    await cache.flushed()
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert await VoiceCache(tmp_path / "voices").get(NAME) is None
    assert files(tmp_path) == []


async def test_memory_keeps_to_its_bound_and_forgets_the_least_used(tmp_path: Path) -> None:
    cache = VoiceCache(tmp_path / "voices", memory_bytes=3 * len(PCM), disk_bytes=0)
    for name in "abc":
        cache.put(name, PCM)
    await cache.get("a")
    cache.put("d", PCM)
    assert [name for name in "abcd" if await cache.get(name)] == ["a", "c", "d"]


async def test_the_disk_keeps_to_its_bound_whoever_wrote(tmp_path: Path) -> None:
    room = 5 * (len(PCM) + 42)
    cache = VoiceCache(tmp_path / "voices", disk_bytes=room)
    for number in range(20):
        cache.put(f"{number:02}", PCM)
        await cache.get(f"{number:02}")
        await cache.flushed()
        os.utime(tmp_path / "voices" / f"{number:02}{SUFFIX}", (number, number))
    left = files(tmp_path)
    assert sum(path.stat().st_size for path in left) <= room
    assert left[-1].name == f"19{SUFFIX}"
    assert len(left) >= 4


async def test_half_written_files_of_the_dead_are_removed(
    cache: VoiceCache, tmp_path: Path
) -> None:
    (tmp_path / "voices").mkdir()
    old, new = tmp_path / "voices" / "x.17", tmp_path / "voices" / "y.18"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.put(NAME, PCM)
    await cache.get(NAME)
    await cache.flushed()
    assert not old.exists()
    assert new.exists()


async def test_long_sounds_and_none_are_not_kept(cache: VoiceCache) -> None:
    cache.put("long", bytes(voice_cache.MOST_PHRASE_BYTES + 2))
    cache.put("none", b"")
    assert await cache.get("long") is None
    assert await cache.get("none") is None


async def test_a_disk_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "voices").write_text("a file where the folder should be")
    cache = VoiceCache(tmp_path / "voices")
    cache.put(NAME, PCM)
    assert await cache.get(NAME) == PCM
    await cache.flushed()
    assert await cache.get(NAME) == PCM


async def test_a_slow_disk_is_not_waited_for(
    cache: VoiceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, read = threading.Event(), []

    def slowly(name: str) -> bytes:
        go_on.wait(10)  # the disk takes as long as the cache would wait
        read.append(name)
        return PCM

    monkeypatch.setattr(cache, "_read", slowly)
    assert await cache.get(NAME) is None
    assert not read
    go_on.set()
