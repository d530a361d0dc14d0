"""`ivr models verify` of a sentence encoder and of a reranker, served as in a call."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from tests import tiny_encoder


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "cross"), [("multilingual-e5-small", False), ("mmarco-minilm-l12", True)]
)
def test_it_is_pulled_from_a_folder_verified_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cross: bool
) -> None:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny_encoder.make(tmp_path / "brought", kind="xlm-roberta" if cross else "bert", cross=cross)
    ivr = CliRunner()
    pulled = ivr.invoke(main, ["models", "pull", name, "--from", str(tmp_path / "brought")])
    assert pulled.exit_code == 0, pulled.output
    verified = ivr.invoke(main, ["models", "verify", name, "--json"])
    assert verified.exit_code == 0, verified.output
    (model,) = orjson.loads(verified.output.strip().rpartition("\n")[2])["models"]
    assert model["ok"] and model["files"]["checked"] >= 3
    # random weights know nothing: that they answer, in both languages, is what is tested
    assert {each["language"] for each in model["spoken"]} == {"en", "hi"}
    assert all(each["verdict"] in ("good", "weak") for each in model["spoken"])
    listed = ivr.invoke(main, ["models", "list", "--here", "--json"])
    assert name in listed.output and "hf-encoder" in listed.output
