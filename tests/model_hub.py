"""A hub on loopback that speaks as Hugging Face's does, and can break off, lie, or ask for a token."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

POLL_S = 0.01
COMMIT = "c0ffee" + "0" * 34
CTC_CONFIG = {"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "hidden_size": 8,
              "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}  # fmt: skip


@dataclass
class Hub:
    """What the server holds, what it is to do wrong, and what it was asked."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """By path: ``/hindi_models.zip``."""
    token: str = ""
    """Asked for, where it is set."""
    cut_after: int = 0
    """Break a body off after so many bytes; 0: never."""
    cuts: int = 0
    """How often still."""
    wrong_digests: bool = False
    commit: str = COMMIT
    ranges: list[str] = field(default_factory=list)
    """``Range`` of each request that had one."""
    served: int = 0
    """Bytes of bodies."""


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Ours", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._answer(401, b"{}")
        elif path.startswith("/api/models/"):
            self._list(path.removeprefix("/api/models/").partition("/revision/")[0])
        elif "/resolve/" in path:
            name, _, rest = path[1:].partition("/resolve/")
            commit, _, file = rest.partition("/")
            found = self.hub.repositories.get(name, {}) if commit == self.hub.commit else {}
            self._file(found.get(file))
        else:
            self._file(self.hub.files.get(path))

    def _list(self, name: str) -> None:
        if name not in self.hub.repositories:
            self._answer(404, b"{}")
            return
        siblings = [
            _sibling(p, d, self.hub.wrong_digests) for p, d in self.hub.repositories[name].items()
        ]
        self._answer(200, json.dumps({"sha": self.hub.commit, "siblings": siblings}).encode())

    def _file(self, data: bytes | None) -> None:
        if data is None:
            self._answer(404, b"no such file")
            return
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        start, status, headers = 0, 200, {"ETag": tag}
        wanted = self.headers.get("Range")
        if wanted:
            self.hub.ranges.append(wanted)
            if self.headers.get("If-Range") == tag:
                start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if start >= len(data) and start:
            self._answer(416, b"")
            return
        self._answer(status, data[start:], headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.hub.cuts and headers and len(body) > self.hub.cut_after:  # files alone have any
            self.hub.cuts -= 1
            body = body[: self.hub.cut_after]
            self.close_connection = True
        self.hub.served += len(body)
        self.wfile.write(body)


def _sibling(path: str, data: bytes, wrong: bool) -> dict[str, object]:
    digest = "0" * 64 if wrong else hashlib.sha256(data).hexdigest()
    large = {"sha256": digest, "size": len(data)}
    return {"rfilename": path, "size": len(data), **({"lfs": large} if len(data) > 1000 else {})}


def ctc_files(weights: int = 300_000) -> dict[str, bytes]:
    """A Wav2Vec2's repository, with what should not be fetched beside it."""
    return {
        "config.json": json.dumps(CTC_CONFIG).encode(),
        "vocab.json": b'{"a": 0}',
        "model.safetensors": bytes(range(256)) * (weights // 256),
        "pytorch_model.bin": b"a pickle",
        "flax_model.msgpack": b"not ours",
        "onnx/model.onnx": b"not ours",
    }


def whisper_folder(folder: Path) -> Path:
    """What looks like a Whisper of Hugging Face; its weights are none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "whisper"}')
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    return folder


def ct2_folder(folder: Path) -> Path:
    """What looks like a Whisper of CTranslate2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"lang_ids": [1], "alignment_heads": [[0, 0]]}')
    (folder / "model.bin").write_bytes(b"weights" * 100)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive of ``files``."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def voice_zip(language: str) -> bytes:
    """A release archive of Indic-TTS: its layout, without weights."""
    parts = ("fastpitch/best_model.pth", "fastpitch/config.json", "hifigan/best_model.pth",
             "hifigan/config.json")  # fmt: skip
    return zipped({f"{language}/{part}": f"{language} {part}".encode() * 50 for part in parts})
