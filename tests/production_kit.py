"""A whole appliance on the production engines in tiny form: ``ivr up``, checkpoints of random weights.

Each engine runs in the environment that holds its packages, as on a GPU box; the checkpoints come by
``ivr models pull --from`` and are named in the settings file. The words mean nothing; everything around
them is real.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import orjson

from appliance.engines.key import headers_of, key_of_ours
from appliance.events import CallRecord, Turn
from appliance.ops.keeping.ports import free_ports
from appliance.settings import ENV_PREFIX, Settings, load
from appliance.store.database import database_url
from tests.appliance_kit import ROOT, rows_of
from tests.serving import CHECKOUT
from tests.sipkit import free_port

STT_PYTHON, TTS_PYTHON, VLLM_PYTHON = (
    os.environ.get(f"IVR_TEST_{stage}_PYTHON", "") for stage in ("STT", "TTS", "VLLM")
)
START_TIMEOUT_S = 240
"""vLLM alone takes half a minute on a quiet machine."""
STOP_TIMEOUT_S = 90
COMMAND_TIMEOUT_S = 120
RTP_PORTS = (13000, 17800, 200)
WHISPER, WAV2VEC2 = "whisper-small", "indicwav2vec-hi"
VOICE, LLM = "indic-tts-hi", "qwen2.5-1.5b-instruct"
MODELS = (WHISPER, WAV2VEC2, VOICE, LLM)
QUIET = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
SETTINGS = """
data_dir = "{var}"
database = {{ embedded_port = {postgres}, embedded_dir = "{embedded}" }}
worker = {{ port = {worker}, drain_timeout_s = 5, admission = false }}
sip = {{ port = {sip}, processes = 1, rtp_port = {rtp} }}
jobs = {{ enabled = false }}
admin = {{ enabled = false }}

[engines.stt]
timeout_ms = 5000
prefer = {{ hi = ["faster-whisper", "wav2vec2"], "hi/digits" = ["wav2vec2"] }}
[[engines.stt.run]]
engine = "faster-whisper"
model = "whisper-small"
device = "cpu"
languages = ["hi"]
python = "{stt_python}"
port = {whisper}
[[engines.stt.run]]
engine = "wav2vec2"
model = "indicwav2vec-hi"
device = "cpu"
languages = ["hi"]
python = "{stt_python}"
port = {wav2vec2}

[engines.tts]
timeout_ms = 5000
[[engines.tts.run]]
engine = "coqui"
model = "indic-tts-hi"
device = "cpu"
languages = ["hi"]
python = "{tts_python}"
port = {coqui}
[[engines.tts.run]]
engine = "espeak"
port = {espeak}

[engines.turn]
timeout_ms = 1000
run = [{{ engine = "smart-turn", port = {turn} }}]
[engines.embed]
run = [{{ engine = "minilm", port = {embed} }}]

[engines.llm]
timeout_ms = 3000
max_tokens = 60
[[engines.llm.run]]
engine = "vllm"
model = "qwen2.5-1.5b-instruct"
python = "{vllm_python}"
port = {llm}
options = ["--enforce-eager", "--block-size", "32"]
[engines.llm.fallback]
model = "small"
urls = ["http://127.0.0.1:{fallback}"]
"""
PORTS = (
    "postgres", "worker", "whisper", "wav2vec2", "coqui", "espeak", "turn", "embed", "llm", "fallback",
)  # fmt: skip


class ProductionSite:
    """``ivr up`` on free ports, everything it writes below ``folder``."""

    def __init__(self, folder: Path, script: Path) -> None:
        """``script``: what the emulated smaller model answers (``ivr emulate``)."""
        self.folder = folder
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.ports["sip"] = free_port()
        self._file, self._log = folder / "ivr.toml", folder / "up.log"
        self._file.write_text(
            SETTINGS.format(
                var=folder / "var", embedded=folder / "embedded", rtp=random.randrange(*RTP_PORTS),
                stt_python=STT_PYTHON, tts_python=TTS_PYTHON, vllm_python=VLLM_PYTHON,
                **self.ports,
            )
        )  # fmt: skip
        own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        self._environment = own | QUIET
        self.settings: Settings = load(self._file, environ={})
        self._script = script
        self._up: subprocess.Popen[bytes] | None = None
        self._small: subprocess.Popen[bytes] | None = None

    # --- what appliance_kit.ringing asks of a site ------------------------------------------------

    @property
    def sip_port(self) -> int:
        return self.ports["sip"]

    @property
    def worker_url(self) -> str:
        return f"ws://127.0.0.1:{self.ports['worker']}"

    def log(self, name: str = "") -> str:
        """Everything that ``ivr up`` and its children have logged; of one child, by its name."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if name in line)

    async def rows(self, number: str) -> tuple[CallRecord, list[Turn]]:
        return await rows_of(database_url(self.settings), number)

    # --- life (these block) -----------------------------------------------------------------------

    def bring(self) -> None:
        """Make the checkpoints and fetch them by the names of the catalogue."""
        brought = self.folder / "brought"
        for python, maker, arguments in (
            (STT_PYTHON, "tiny_whisper", (brought / WHISPER,)),
            (STT_PYTHON, "tiny_wav2vec2", (brought / WAV2VEC2,)),
            (TTS_PYTHON, "tiny_coqui", (brought / VOICE, "hi")),
            (VLLM_PYTHON, "tiny_llama", (brought / LLM,)),
        ):
            _run([python, "-m", f"tests.{maker}", *map(str, arguments)], self._environment)
        for name in MODELS:
            self.ivr("models", "pull", name, "--from", str(brought))

    def open(self) -> None:
        """Start everything and wait until calls are answered."""
        with self._log.open("ab") as log:
            emulate = ("emulate", "--stage", "llm", "--port", str(self.ports["fallback"]))
            self._small = subprocess.Popen(
                [*_IVR, *emulate, "--script", str(self._script)],
                env=self._environment, stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT,
            )  # fmt: skip
            self._up = subprocess.Popen(
                ["nice", "-n", "5", *self._ivr(), "up", "--json"],
                env=self._environment, stdout=subprocess.PIPE, stderr=log, cwd=ROOT,
            )  # fmt: skip
        assert self._up.stdout is not None
        line = self._up.stdout.readline()
        assert line, self.log()[-4000:]

    def close(self) -> None:
        """SIGTERM; nothing may be left."""
        for process in (self._up, self._small):
            if process is not None and process.poll() is None:
                process.terminate()
        for process in (self._up, self._small):
            if process is None:
                continue
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            finally:
                if process.stdout is not None:
                    process.stdout.close()

    def left(self) -> list[str]:
        """Command lines of what still runs of this appliance, whoever its parent is."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if str(self.folder) in line:
                found.append(line)
        return found

    def ivr(self, *arguments: str, status: int = 0) -> str:
        """A command with this site's settings; what it printed, both streams."""
        return _run([*self._ivr(), *arguments], self._environment, status)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """The JSON object of a command's last line."""
        told: dict[str, Any] = orjson.loads(self.ivr(*arguments, "--json").splitlines()[-1])
        return told

    def health(self, name: str) -> dict[str, Any]:
        """What an engine server says of itself; empty while it does not answer."""
        try:
            url = f"http://127.0.0.1:{self.ports[name]}/health"
            key = key_of_ours(self.settings, self.settings.engines.stt)  # the same of all stages
            request = urllib.request.Request(url, headers=dict(headers_of(key)))
            with urllib.request.urlopen(request, timeout=2) as answer:
                return dict(orjson.loads(answer.read() or b"{}") or {"status": "ok"})
        except OSError:
            return {}

    def pid(self, name: str) -> int:
        """Of the engine server on that port; of vLLM's guard, its server."""
        found: int = self._server(name)["pid"]
        if name == "llm":
            found = int(Path(f"/proc/{found}/task/{found}/children").read_text().split()[0])
        return found

    def until_warm(self, name: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until an engine server answers again, and who looks after the pools has seen it."""
        deadline = time.monotonic() + timeout_s
        while not (self.health(name) and self._server(name)["state"] == "warm"):
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.5)

    def _server(self, name: str) -> dict[str, Any]:
        """What ``ivr pools status`` says of the engine server on that port."""
        pools = self.ask("pools", "status")["pools"]
        servers = [server for pool in pools for server in pool["servers"]]
        return dict(next(s for s in servers if s["port"] == self.ports[name]))

    def _ivr(self) -> list[str]:
        return [*_IVR, "--settings", str(self._file)]


_IVR = [sys.executable, "-m", "appliance"]


def _run(command: list[str], environment: dict[str, str], status: int = 0) -> str:
    done = subprocess.run(
        command, env=environment | {"PYTHONPATH": str(CHECKOUT)}, cwd=ROOT, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=COMMAND_TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == status, (command, done.returncode, done.stdout[-3000:])
    return done.stdout
