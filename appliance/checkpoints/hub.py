"""A repository of Hugging Face's hub, or of a mirror that speaks as it does.

``HF_ENDPOINT`` names another hub and ``HF_TOKEN`` an account, as for its own tools.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from appliance.checkpoints.download import Gone, Refused
from appliance.checkpoints.forms import Form
from appliance.errors import UserError, reason_of

ENDPOINT = "https://huggingface.co"
TOKEN_FILE = Path("~/.cache/huggingface/token")
LIST_TIMEOUT_S = 30.0
LISTING_BYTES = 16 << 20
"""A repository of some 10^4 files; a longer answer is no list."""
LONGEST_PATH = 255
WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.index.json")
SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "*.md", "LICENSE*", "*.tiktoken")
PATTERNS: Mapping[Form, tuple[str, ...]] = {
    Form.CT2: ("model.bin", *SMALL),
    Form.HF_WHISPER: (*WEIGHTS, *SMALL),
    Form.HF_WAV2VEC2: (*WEIGHTS, *SMALL, "language_model/*", "alphabet.json"),
    Form.HF_LLM: (*WEIGHTS, *SMALL),
    Form.HF_ENCODER: (*WEIGHTS, *SMALL, "1_Pooling/config.json", "2_Dense/config.json"),
    Form.COQUI: ("*",),
}
"""What is fetched of a repository: not the same weights for other frameworks."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository."""

    path: str
    size: int
    sha256: str
    """Of large files; empty for others."""
    url: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds at one commit."""

    commit: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


def endpoint() -> str:
    """The hub that is asked."""
    return os.environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/")


def token() -> str:
    """The account's token; empty where there is none."""
    if value := os.environ.get("HF_TOKEN", "").strip():
        return value
    try:
        return TOKEN_FILE.expanduser().read_text().strip()
    except OSError:
        return ""


async def list_files(
    session: aiohttp.ClientSession, repository: str, revision: str, form: Form
) -> Listing:
    """The files of a repository that a model of ``form`` needs. Raises UserError."""
    url = f"{endpoint()}/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"
    try:
        timeout = aiohttp.ClientTimeout(total=LIST_TIMEOUT_S)
        async with session.get(url, timeout=timeout) as response:
            _check(response.status, repository)
            value = orjson.loads(await _read(response))
        commit = str(value["sha"])
        files = [_file(repository, commit, item) for item in value["siblings"]]
    except (aiohttp.ClientError, TimeoutError) as e:
        raise Gone(
            f"The hub {endpoint()} cannot be reached: {reason_of(e)}. Without internet: fetch"
            f" {repository} on another machine (hf download {repository} --local-dir FOLDER), bring"
            " the folder here, and say ivr models pull NAME --from FOLDER."
        ) from e
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"{url} does not answer as the hub does. Is HF_ENDPOINT right?") from e
    wanted = tuple(_chosen(files, PATTERNS[form]))
    if not wanted:
        raise UserError(f"{repository} holds no file that a model ({form.value}) is made of.")
    return Listing(commit, wanted)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer. Raises ValueError when it finds no end."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LISTING_BYTES:
            raise ValueError("the list is too long")
    return bytes(body)


def _check(status: int, repository: str) -> None:
    if status in (401, 403):
        raise Refused(
            f"The hub does not give {repository} to this account. Accept its licence on"
            f" {endpoint()}/{repository}, make a token there and set HF_TOKEN; or bring a copy:"
            " ivr models pull NAME --from FOLDER."
        )
    if status == 404:
        raise Gone(f"The hub {endpoint()} has no {repository} of that revision.")
    if status != 200:
        raise UserError(f"The hub {endpoint()} answers {status} for {repository}. Try later.")


def _file(repository: str, commit: str, item: Mapping[str, Any]) -> HubFile:
    path = str(item["rfilename"])
    parts = PurePosixPath(path).parts
    odd = "\\" in path or not path.isprintable() or len(path) > LONGEST_PATH
    if not parts or path.startswith("/") or ".." in parts or odd:
        raise UserError(f"{repository} is refused: it has a file {path!r}.")
    large = item.get("lfs") or {}
    size = max(0, int(item.get("size") or large.get("size") or 0))
    digest = str(large.get("sha256") or large.get("oid") or "").removeprefix("sha256:")
    url = f"{endpoint()}/{repository}/resolve/{commit}/{quote(path)}"
    return HubFile(path, size, digest, url)


def _chosen(files: list[HubFile], patterns: tuple[str, ...]) -> list[HubFile]:
    """Files of the patterns; of weights in both formats, the safe one (.bin is a pickle)."""
    fits = [
        file
        for file in files
        if any(
            fnmatch(file.path, pattern) and file.path.count("/") == pattern.count("/")
            for pattern in patterns
        )
        or patterns == ("*",)
    ]
    if any(file.path.endswith(".safetensors") for file in fits):
        fits = [file for file in fits if not fnmatch(file.path, "pytorch_model*")]
    return fits
