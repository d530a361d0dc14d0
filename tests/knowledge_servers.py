"""A real ``ivr embed`` process on a free port, for tests and benches."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from appliance.ops.keeping.ports import free_port

START_TIMEOUT_S = 120
KEY = "what-servers-of-tests-ask-for"
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}


class EmbedProcess:
    """``ivr embed`` as its own process, from ready to stopped."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "embed", "--port", str(port)],
            env={**os.environ, "IVR_DATA_DIR": str(data_dir), "IVR_ENGINES__KEY": KEY},
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1):
                    return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        self.__exit__()
        raise TimeoutError("the embedding server did not start")

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
