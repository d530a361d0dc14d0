"""``ivr models plan`` as people read it, and as they paste it."""

from __future__ import annotations

from typing import Any

import orjson

from appliance.checkpoints.disk import GIGABYTE, in_words
from appliance.checkpoints.gpu import Gpu, gpus
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table
from appliance.ops.models.plan import FALLBACK, LLM, GpuPlan, Question, Row, make_plan
from appliance.settings import Settings

SECTIONS = ("engines.stt", "engines.tts", LLM, FALLBACK)
LEAST_SEQS = 64


def show(
    settings: Settings, question: Question, *, gpu_gb: float, gpu_index: int, as_json: bool
) -> bool:
    """Print the plan; whether it fits as the settings are. Raises UserError."""
    gpu = _gpu(gpu_gb, gpu_index)
    plan = make_plan(settings, gpu, question)
    if as_json:
        print_json(plan_as_json(plan))
        return plan.good
    calls = f"{question.calls} calls" if question.calls != 1 else "1 call"
    used = f", {in_words(gpu.used)} in use now" if gpu.used else ""
    print(f"{plain(gpu.name)}, {in_words(gpu.total)}{used}; {calls} at once\n")
    print_table(
        ("setting", "model", "servers", "at once", "weights", "a request", "process", "takes", ""),
        [_cells(row) for row in plan.rows],
        "",
    )
    left = gpu.total - plan.takes - plan.headroom
    print(f"\n{in_words(plan.takes)} and {in_words(plan.headroom)} of headroom:", end=" ")
    print(f"it fits, {in_words(left)} are left." if plan.fits else "it does NOT fit.")
    for remedy in plan.remedies:
        print(f"  {plain(remedy)}")
    print("Reckoned from the models' shapes, not measured: look at nvidia-smi when they run.\n")
    print("\n".join(settings_lines(plan)))
    return plan.good


def _gpu(gpu_gb: float, index: int) -> Gpu:
    if gpu_gb:
        return Gpu(index, f"a GPU of {gpu_gb:g} GB", int(gpu_gb * GIGABYTE), 0)
    for gpu in gpus():
        if gpu.index == index:
            return gpu
    raise UserError(
        "nvidia-smi shows no such GPU here. Say what to plan for: ivr models plan --gpu-gb 80"
    )


def _cells(row: Row) -> tuple[object, ...]:
    size = row.footprint
    return (
        row.section.removeprefix("engines."), row.run.model, row.run.most, row.at_once,
        in_words(size.weights), in_words(size.each), in_words(size.process),
        in_words(row.takes), row.trouble,
    )  # fmt: skip


def settings_lines(plan: GpuPlan) -> list[str]:
    """Lines of ivr.toml that make the plan."""
    lines = ['# For ivr.toml. Engines of another environment need its interpreter: python = "…".']
    for section in SECTIONS:
        rows = [row for row in plan.rows if row.section == section]
        if not rows:
            continue
        lines.append(f"[{section}]")
        if section in (LLM, FALLBACK):
            lines.append(f"model = {_text(rows[0].run.model)}")
            lines.append(f"gpu_share = {rows[0].gpu_share:.2f}")
            lines.append(f"max_num_seqs = {max(LEAST_SEQS, rows[0].at_once)}")
        lines.append("run = [")
        lines += [f"  {{ {_run(row)} }}," for row in rows]
        lines.append("]")
    return lines


def _run(row: Row) -> str:
    run = row.run
    fields: dict[str, Any] = {"engine": run.engine, "model": run.model, "device": "cuda"}
    for name in ("compute_type", "languages", "capacity", "python", "options"):
        if value := getattr(run, name):
            fields[name] = list(value) if isinstance(value, tuple) else value
    fields |= {"least": min(run.least, run.most), "most": run.most}
    return ", ".join(f"{name} = {_text(value)}" for name, value in fields.items())


def _text(value: object) -> str:
    """As TOML has it, which for these is as JSON has it."""
    return orjson.dumps(value).decode()


def plan_as_json(plan: GpuPlan) -> dict[str, object]:
    return {
        "gpu": plan.gpu.name,
        "total_bytes": plan.gpu.total,
        "used_now_bytes": plan.gpu.used,
        "calls": plan.question.calls,
        "takes_bytes": plan.takes,
        "headroom_bytes": plan.headroom,
        "fits": plan.fits,
        "measured": False,
        "servers": [
            {
                "setting": row.section,
                "engine": row.run.engine,
                "model": row.run.model,
                "servers": row.run.most,
                "at_once": row.at_once,
                "weights_bytes": row.footprint.weights,
                "request_bytes": row.footprint.each,
                "process_bytes": row.footprint.process,
                "needs_bytes": row.needs,
                "takes_bytes": row.takes,
                "gpu_share": row.gpu_share,
                "trouble": row.trouble,
            }
            for row in plan.rows
        ],
        "remedies": list(plan.remedies),
        "settings": settings_lines(plan),
    }
