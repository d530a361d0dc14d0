"""`ivr models plan`: what fits, what does not and what to change; the lines to paste."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from appliance.__main__ import main
from appliance.checkpoints.gpu import Gpu
from appliance.errors import UserError
from appliance.ops.models.plan import FALLBACK, LLM, Question, at_once, make_plan
from appliance.ops.models.plan_view import settings_lines
from appliance.settings import Settings

GB = 10**9
A_GPU = Gpu(0, "test", 80 * GB, 0)
QUICK = hypothesis_settings(max_examples=50, deadline=None)


def asked(calls: int, *languages: str, tokens: int = 2048) -> Question:
    return Question(calls, tokens, languages)


def with_runs(**stages: Any) -> Settings:
    return Settings.model_validate({"data_dir": "/no/such/data", "engines": stages})


def test_how_many_calls_use_a_stage_at_once() -> None:
    assert at_once(1, 0.4) == 1
    assert at_once(50, 0.4) == 29  # 20 + 2.33 * sqrt(12) = 28.07
    assert at_once(50, 0.25) == 20  # 12.5 + 2.33 * sqrt(9.375) = 19.63


def test_two_languages_fit_on_80_gb_and_the_sum_is_theirs() -> None:
    plan = make_plan(Settings(), A_GPU, asked(50, "hi", "en"))
    assert plan.good and plan.headroom == 8 * GB
    assert plan.takes == sum(row.takes for row in plan.rows)
    ears = {row.run.model: row for row in plan.rows if row.section == "engines.stt"}
    hindi = ears["indicwhisper-hi"]
    assert hindi.run.most == 2  # 48 calls a server
    assert hindi.at_once == 15  # half of 29
    size = hindi.footprint
    assert hindi.takes == 2 * (size.weights + size.process + 15 * size.each)
    assert ears["whisper-large-v3-turbo"].run.languages == ("en",)


def test_vllm_takes_its_share_and_the_share_is_enough() -> None:
    plan = make_plan(Settings(), A_GPU, asked(50, "hi"))
    (row,) = (row for row in plan.rows if row.section == LLM)
    assert row.needs == row.footprint.of(0) + 20 * row.footprint.each
    assert row.gpu_share * A_GPU.total >= row.needs > (row.gpu_share - 0.01) * A_GPU.total
    assert row.takes == int(row.gpu_share * A_GPU.total)


def test_one_long_request_has_room_for_its_length() -> None:
    plan = make_plan(Settings(), A_GPU, asked(1, "hi", tokens=64))
    (row,) = (row for row in plan.rows if row.section == LLM)
    assert row.needs == row.footprint.of(0) + 8192 * 57_344  # engines.llm.max_model_len


def test_what_does_not_fit_says_how_many_calls_do() -> None:
    small = Gpu(0, "small", 46 * GB, 0)
    plan = make_plan(Settings(), small, asked(200, "hi"))
    assert not plan.fits
    (line,) = (line for line in plan.remedies if "calls fit" in line)
    calls = int(line.split()[0])
    assert make_plan(Settings(), small, asked(calls, "hi")).fits
    assert not make_plan(Settings(), small, asked(calls + 1, "hi")).fits
    assert any("int8_float16" in line for line in plan.remedies)
    assert any(FALLBACK in line for line in plan.remedies)


def test_servers_of_the_settings_are_told_what_is_too_little() -> None:
    settings = with_runs(
        stt={"run": [{"engine": "faster-whisper", "model": "indicwhisper-hi"}]},
        llm={"run": [{"engine": "vllm", "model": "llama-3.1-8b-instruct"}], "gpu_share": 0.2},
    )
    plan = make_plan(settings, A_GPU, asked(100))
    stt, llm = plan.rows
    assert stt.trouble == "most = 3 is needed" and stt.run.most == 3
    assert llm.trouble.startswith("gpu_share = 0.3") and llm.gpu_share > 0.3
    assert plan.fits and not plan.good


def test_a_model_too_large_for_the_gpu_is_said() -> None:
    settings = with_runs(llm={"run": [{"engine": "vllm", "model": "llama-3.1-8b-instruct"}]})
    (row,) = make_plan(settings, Gpu(0, "small", 16 * GB, 0), asked(1)).rows
    assert "a smaller model" in row.trouble


def test_servers_on_the_cpu_take_nothing_and_nothing_is_no_plan() -> None:
    settings = with_runs(
        stt={"run": [{"engine": "faster-whisper", "model": "small", "device": "cpu"}]}
    )
    with pytest.raises(UserError, match="nothing on a GPU"):
        make_plan(settings, A_GPU, asked(10))
    with pytest.raises(UserError, match="No voice of xx"):
        make_plan(Settings(), A_GPU, asked(10, "xx"))


def test_the_shape_of_what_is_here_counts_and_not_the_catalogues(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "qwen2.5-7b-instruct"
    folder.mkdir(parents=True)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"architectures": ["QForCausalLM"], **shape}))
    (folder / "model.safetensors").touch()
    run = [{"engine": "vllm", "model": "qwen2.5-7b-instruct"}]
    settings = Settings.model_validate({"data_dir": tmp_path, "engines": {"llm": {"run": run}}})
    (row,) = make_plan(settings, A_GPU, asked(1)).rows
    assert row.footprint.each == 2048 * (2 * 2 * 2 * 16 * 2) + 1000 * 4


def test_a_model_of_unknown_shape_is_said(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    settings = with_runs(llm={"run": [{"engine": "vllm", "model": str(tmp_path / "m")}]})
    with pytest.raises(UserError, match=r"shape of .* is not known.*'hidden_size'"):
        make_plan(settings, A_GPU, asked(10))


@QUICK
@given(
    st.integers(1, 400), st.integers(1, 400), st.integers(64, 8192), st.sampled_from(["hi", "or"])
)
def test_more_calls_never_take_less(calls: int, more: int, tokens: int, language: str) -> None:
    few = make_plan(Settings(), A_GPU, asked(calls, language, tokens=tokens))
    many = make_plan(Settings(), A_GPU, asked(calls + more, language, tokens=tokens))
    assert few.takes <= many.takes


@QUICK
@given(st.integers(1, 300), st.sets(st.sampled_from(["hi", "en", "ta", "or", "gu"]), min_size=1))
def test_the_lines_to_paste_are_settings_that_plan_the_same(
    calls: int, languages: set[str]
) -> None:
    proposed = make_plan(Settings(), A_GPU, asked(calls, *sorted(languages)))
    pasted = Settings.model_validate(tomllib.loads("\n".join(settings_lines(proposed))))
    again = make_plan(pasted, A_GPU, asked(calls))
    assert [(r.section, r.run.model, r.run.most, r.takes) for r in again.rows] == [
        (r.section, r.run.model, r.run.most, r.takes) for r in proposed.rows
    ]
    assert not any(row.trouble for row in again.rows)


def test_the_command_says_it_and_its_status_is_whether_it_fits() -> None:
    command = ["models", "plan", "--calls", "50", "--languages", "hi,en", "--gpu-gb"]
    good = CliRunner().invoke(main, [*command, "80"])
    assert good.exit_code == 0 and "it fits" in good.output and "[engines.stt]" in good.output
    assert "not measured" in good.output
    bad = CliRunner().invoke(main, [*command, "24", "--json"])
    facts = json.loads(bad.stdout.splitlines()[-1])
    assert bad.exit_code == 1 and not facts["fits"] and facts["remedies"]
