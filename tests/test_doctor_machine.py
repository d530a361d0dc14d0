"""Checks of the machine: disks, files, ports, processes, GPU; against the real ones, broken in turn."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.ops.doctor import gpu, machine
from appliance.ops.doctor.check import State
from appliance.ops.doctor.disk import disks
from appliance.ops.doctor.files import holds_secrets
from appliance.ops.doctor.processes import Process, listeners, processes
from appliance.ops.keeping.ports import free_port
from appliance.settings import Settings
from tests.doctor_kit import look, trouble

STRANGER = (
    "import socket,sys,time; s=socket.create_server((sys.argv[1],int(sys.argv[2]))); time.sleep(60)"
)
GPU_LINE = "0, NVIDIA L4, {driver}, 23034, {used}, {celsius}, {ecc}, {slow}"


@contextmanager
def stranger(host: str, port: int) -> Iterator[int]:
    """Another program on a port; its pid."""
    process = subprocess.Popen([sys.executable, "-c", STRANGER, host, str(port)])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB and 20 files."""
    place = tmp_path / "var"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=20", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    settings = Settings(data_dir=small_disk)
    before = next(disk for disk in disks(settings) if str(small_disk) in disk.folders)
    assert before.bytes == 2 << 20 and before.inodes == 20
    (small_disk / "recording").write_bytes(bytes((2 << 20) - 40_960))
    found = [f for f in await look(settings, "disk") if f.state is State.BAD]
    assert len(found) == 1 and str(small_disk) in found[0].told and "Make room" in found[0].advice
    for number in range(18):
        (small_disk / f"f{number}").touch()
    assert State.BAD in [f.state for f in await look(settings, "inodes")]


async def test_a_stranger_on_our_port(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings.model_validate({"data_dir": tmp_path, "worker": {"port": port}})
    assert [f.state for f in await look(settings, "ports")] == [State.GOOD]
    with stranger("127.0.0.1", port) as pid:
        found = await trouble(settings, "ports")
    assert found.state is State.BAD and found.code == "port-taken"
    assert f"TCP port {port} (worker.port)" in found.told and f"process {pid}" in found.told


async def test_an_internal_port_that_is_open_to_all(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings.model_validate({"data_dir": tmp_path, "switch": {"esl_port": port}})
    with stranger("127.0.0.1", port):
        assert [f.state for f in await look(settings, "exposure")] == [State.GOOD]
    with stranger("0.0.0.0", port):
        found = await trouble(settings, "exposure")
    assert found.state is State.BAD and "(switch.esl_port) can be reached on 0.0.0.0" in found.told


def test_proc_tells_who_listens() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("127.0.0.1", 0))
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
            found = {(one.kind, one.port): one for one in listeners()}
            for kind, held in (("tcp", tcp), ("udp", udp), ("tcp", six)):
                one = found[kind, held.getsockname()[1]]
                assert str(one.address) == held.getsockname()[0]
                assert one.process is not None and one.process.pid == os.getpid()


def test_our_processes_are_known_by_their_command() -> None:
    def ours(*command: str) -> str:
        return Process(1, 0, command).ours

    assert ours("/opt/ivr/current/.venv/bin/python", "-m", "appliance", "worker") == "worker"
    assert (
        ours("/usr/bin/python3", "/usr/local/bin/ivr", "--settings", "/etc/a.toml", "sip") == "sip"
    )
    assert ours("python", "-m", "http.server") == ours("vim", "appliance") == ours() == ""
    assert Process(1, 0, ("redis-server 127.0.0.1:6379",)).name == "redis-server"
    assert os.getpid() in [process.pid for process in processes()]


async def test_secrets_and_recordings_that_others_may_read(tmp_path: Path) -> None:
    data = tmp_path / "var"
    settings = Settings(data_dir=data)
    settings.secret("media")
    settings.recordings_dir.mkdir()
    data.chmod(0o750)
    assert [f.state for f in await look(settings, "files")] == [State.GOOD]
    settings.secrets_dir.chmod(0o755)
    assert str(settings.secrets_dir) in (await trouble(settings, "files")).told
    settings.secrets_dir.chmod(0o700)
    data.chmod(0o755)
    settings.recordings_dir.chmod(0o755)
    found = await trouble(settings, "files")
    assert found.state is State.BAD and "chmod 0750" in found.advice
    settings.recordings_dir.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(data, 12345, 12345)
        found = (await look(settings, "files"))[0]
        assert found.code == "owner" and "chown 12345:12345" in found.advice


def test_a_settings_file_with_a_password_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ivr.toml"
    for text, secret in (
        ("[worker]\nport = 7000\n", False),
        ('[database]\nurl = "postgresql://u:p@h/d"\n', True),
        ('[sip]\npassword = "x"\n', True),
        ('[sip]\npassword = ""\n', False),
        ('[engines.llm.fallback]\napi_key = "x"\n', True),
        ("no toml", True),
    ):
        file.write_text(text)
        assert holds_secrets(file) is secret, text


async def test_a_readable_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ivr.toml"
    file.write_text('[sip]\npassword = "x"\n')
    monkeypatch.setenv("IVR_SETTINGS", str(file))
    settings = Settings(data_dir=tmp_path / "var")
    file.chmod(0o640)
    assert [f.state for f in await look(settings, "files")] == [State.GOOD]
    file.chmod(0o644)
    assert "holds passwords" in (await trouble(settings, "files")).told


@pytest.mark.parametrize(
    ("values", "code", "state"),
    [
        ({}, "", State.GOOD),
        ({"driver": "470.1"}, "driver", State.BAD),
        ({"ecc": "3"}, "ecc", State.BAD),
        ({"ecc": "[N/A]"}, "", State.GOOD),
        ({"celsius": "88"}, "hot", State.WARNING),
        ({"celsius": "70", "slow": "Active"}, "hot", State.BAD),
        ({"used": "22900"}, "gpu-memory", State.WARNING),
    ],
)
def test_what_nvidia_smi_tells(values: dict[str, str], code: str, state: State) -> None:
    usual = {"driver": "550.54", "used": "900", "celsius": "50", "ecc": "0", "slow": "Not Active"}
    (one,) = gpu.parse(GPU_LINE.format(**usual | values) + "\nrubbish\n")
    (finding,) = gpu.judge(one)
    assert (finding.code, finding.state) == (code, state)


async def test_a_gpu_that_is_asked_for_and_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = [{"engine": "faster-whisper", "model": "x", "device": "cuda"}]
    settings = Settings.model_validate({"data_dir": tmp_path, "engines": {"stt": {"run": run}}})
    found = await trouble(settings, "gpu")
    assert found.state is State.BAD and "engines.stt.run" in found.told
    assert [f.state for f in await look(Settings(data_dir=tmp_path), "gpu")] == [State.SKIPPED]


def test_the_machine_is_read() -> None:
    memory = machine.meminfo()
    assert memory["MemTotal"] > memory["MemAvailable"] > 0
    assert 0 <= machine.stolen_share() <= 1
    clock = machine.kernel_clock()
    assert clock is None or clock.error_us >= 0


MACHINE = ("system", "cpu", "memory", "clock", "open-files", "udp", "core-dumps")


@pytest.mark.parametrize("code", MACHINE)
async def test_this_machine_can_be_looked_at(tmp_path: Path, code: str) -> None:
    found = await look(Settings(data_dir=tmp_path), code)
    assert found and all("could not be looked at" not in finding.told for finding in found)
    assert all(f.advice for f in found if f.state in (State.WARNING, State.BAD))
