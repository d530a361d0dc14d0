"""``ivr llm``: the line it makes, and that it runs it.

The environments are real ones (venv) whose ``vllm`` tells what it was started with; the real vLLM is
in test_vllm.py.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import orjson
import pytest

from appliance.capacity import cluster
from appliance.errors import UserError
from appliance.ops.keeping import replica
from appliance.ops.keeping.groups import FALLBACK, engine_groups, engine_program
from appliance.ops.llm import DRAIN, Choice, launch
from appliance.settings import Engines, Llm, LlmServers, Run, Settings

TELL = """#!{python}
import json, os, sys
print(json.dumps({{"parent": os.getppid(), "argv": sys.argv[1:], "environment": dict(os.environ)}}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has a distribution vllm with its command."""
    folder = tmp_path_factory.mktemp("vllm-env")
    python = _empty(folder)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "vllm").mkdir()
    (packages / "vllm" / "__init__.py").touch()
    info = packages / "vllm-0.32.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n")
    script = python.with_name("vllm")
    script.write_text(TELL.format(python=python))
    script.chmod(0o755)
    return python


def _empty(folder: Path) -> Path:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    return folder / "bin" / "python"


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    config = {"max_position_embeddings": 32768} | config
    (folder / "config.json").write_bytes(orjson.dumps(config))
    return folder


def settings(tmp_path: Path, python: Path | str, **llm: object) -> Settings:
    run = Run(engine="vllm", model="small", python=str(python), options=("--enforce-eager",))
    servers = Llm.model_validate({"run": (run,), "api_key": "s3cret", **llm})
    return Settings(data_dir=tmp_path, engines=Engines(llm=servers))


def after(command: tuple[str, ...], option: str) -> str:
    return command[command.index(option) + 1]


def test_the_line_says_what_the_settings_say(tmp_path: Path, environment: Path) -> None:
    folder = checkpoint(tmp_path / "models" / "small")
    set_ = settings(tmp_path, environment, max_model_len=4096, gpu_share=0.3, max_num_seqs=9)
    found = launch(set_, Choice(port=7555))
    assert found.command[:3] == (str(environment.with_name("vllm")), "serve", str(folder))
    assert after(found.command, "--served-model-name") == set_.engines.llm.served_model == "small"
    assert after(found.command, "--max-model-len") == "4096"
    assert after(found.command, "--gpu-memory-utilization") == "0.3"
    assert after(found.command, "--max-num-seqs") == "9"
    assert after(found.command, "--port") == "7555"
    assert after(found.command, "--scheduling-policy") == "priority"
    assert {"--enable-prefix-caching", "--enable-chunked-prefill"} <= set(found.command)
    assert {"--no-enable-log-requests", "--disable-uvicorn-access-log"} <= set(found.command)
    assert after(found.command, "--middleware") == "appliance.engines.vllmdoor.VllmDoor"
    assert found.command[-1] == "--enforce-eager"
    shown = found.line() + found.as_json()
    assert "s3cret" not in shown and "VLLM_API_KEY" in shown
    assert shlex.split(found.line())[-len(found.command) :] == list(found.command)


def test_the_port_is_the_one_that_ivr_up_gives_it(tmp_path: Path, environment: Path) -> None:
    for name in ("small", "other"):
        checkpoint(tmp_path / "models" / name)
    runs = [
        Run(engine="vllm", model=name, python=str(environment), port=port, most=2)
        for name, port in (("small", 18100), ("other", 0))
    ]
    set_ = settings(tmp_path, environment, run=tuple(runs))
    assert after(launch(set_, Choice()).command, "--port") == "18100"
    assert after(launch(set_, Choice(model="other")).command, "--port") == "18102"
    folder = checkpoint(tmp_path / "elsewhere")
    command = launch(set_, Choice(model=str(folder), python=str(environment))).command
    assert after(command, "--port") == "7501"


def test_the_command_line_goes_before_the_settings(tmp_path: Path, environment: Path) -> None:
    checkpoint(tmp_path / "models" / "small")
    other = checkpoint(tmp_path / "other")
    choice = Choice(model=str(other), python=str(environment), compute_type="float16", capacity=3)
    command = launch(settings(tmp_path, "", model="named"), choice).command
    assert str(other) in command and "--enforce-eager" not in command
    assert after(command, "--served-model-name") == "named"
    assert after(command, "--dtype") == "float16" and after(command, "--max-num-seqs") == "3"


def test_answers_may_end_before_the_server_does(tmp_path: Path, environment: Path) -> None:
    checkpoint(tmp_path / "models" / "small")
    set_ = settings(tmp_path, environment)
    assert DRAIN not in launch(set_, Choice()).command  # a vLLM before 0.18 would not start with it
    (group,) = (group for group in engine_groups(set_) if group.stage == "llm")
    package = next(environment.parent.parent.glob("lib/python*/site-packages/vllm"))
    newer = package / "engine" / "arg_utils.py"
    newer.parent.mkdir()
    newer.write_text('parser.add_argument("--shutdown-timeout")')
    command = launch(set_, Choice()).command
    newer.unlink()
    allowed_s = int(after(command, DRAIN))
    assert command.index(DRAIN) < command.index("--enforce-eager")  # options have the last word
    assert allowed_s >= set_.engines.llm.answer_timeout_s
    assert group.programs[0].stop_timeout_s >= allowed_s + 10
    assert cluster.DRAIN_S > replica.LEAVE_S + group.programs[0].stop_timeout_s


def test_it_runs_the_server_and_hands_on_no_secret_but_the_key(
    tmp_path: Path, environment: Path
) -> None:
    checkpoint(tmp_path / "models" / "small")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "llm", "--model", "small", "--python", environment,
         "--port", "7555", "--swap-space", "2"],
        env={**os.environ, "IVR_DATA_DIR": str(tmp_path), "IVR_ENGINES__LLM__API_KEY": "s3cret",
             "IVR_SIP__PASSWORD": "0ther"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    told = orjson.loads(out)
    assert process.returncode == 0 and told["parent"] == process.pid
    assert told["argv"][-2:] == ["--swap-space", "2"]
    assert told["environment"]["VLLM_API_KEY"] == "s3cret"
    assert told["environment"]["HF_HUB_OFFLINE"] == "1"
    assert told["environment"]["PYTHONPATH"].split(os.pathsep)[0] == str(
        Path(__file__).parent.parent
    )
    assert told["environment"]["PATH"].split(os.pathsep)[0] == str(environment.parent)
    assert not [name for name in told["environment"] if name.startswith("IVR_")]
    assert b"serve" in err and b"s3cret" not in err + out.replace(b'"s3cret"', b"", 1)


def test_what_is_missing_is_said_with_its_remedy(tmp_path: Path, environment: Path) -> None:
    choice = Choice(port=7555)
    with pytest.raises(UserError, match="ivr models"):
        launch(settings(tmp_path, environment), choice)
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match=r"config\.json"):
        launch(settings(tmp_path, environment), choice)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        launch(settings(tmp_path, environment), choice)
    (folder / "config.json").write_text('{"max_position_embeddings": 2048}')
    with pytest.raises(UserError, match="at most 2048 tokens"):
        launch(settings(tmp_path, environment), choice)
    (folder / "config.json").write_text('{"max_position_embeddings": 8192}')
    with pytest.raises(UserError, match="no Python interpreter"):
        launch(settings(tmp_path, tmp_path / "bin" / "python"), choice)
    bare = _empty(tmp_path / "bare")
    with pytest.raises(UserError, match=r"has no vLLM.*pip install vllm"):
        launch(settings(tmp_path, bare), choice)
    with pytest.raises(UserError, match="does not work"):
        launch(settings(tmp_path, "/bin/false"), choice)
    with pytest.raises(UserError, match="compute_type 'int8'"):
        launch(settings(tmp_path, environment), Choice(compute_type="int8"))
    with pytest.raises(UserError, match="No language model"):
        launch(Settings(data_dir=tmp_path), choice)


def test_the_fallback_is_started_as_its_own_settings_say(tmp_path: Path, environment: Path) -> None:
    checkpoint(tmp_path / "models" / "small")
    tiny = checkpoint(tmp_path / "models" / "tiny")
    run = Run(engine="vllm", model="tiny", python=str(environment))
    fallback = LlmServers(run=(run,), first_port=7551, gpu_share=0.1)
    set_ = settings(tmp_path, environment, fallback=fallback)
    groups = {group.stage: group for group in engine_groups(set_) if group.stage.startswith("llm")}
    assert set(groups) == {"llm", FALLBACK}
    command = engine_program(FALLBACK, 0, fallback.places()[0]).command()
    assert command[:4] == [sys.executable, "-m", "appliance", "llm"] and "--fallback" in command
    made = launch(set_, Choice(fallback=True)).command
    assert str(tiny) in made and after(made, "--gpu-memory-utilization") == "0.1"
    assert after(made, "--port") == "7551"
