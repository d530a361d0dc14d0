#!/bin/sh
# Makes .venv-pipecat, the environment of the bot that `make bench` compares with. It is no
# dependency of the appliance and shares nothing with it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
[ -x .venv-pipecat/bin/python ] || "$python" -m venv .venv-pipecat
.venv-pipecat/bin/pip install --quiet --disable-pip-version-check -r bench/requirements-pipecat.txt
# numba compiles at its first use: do that here, and not in the first call.
.venv-pipecat/bin/python -c "import pipecat, fastapi, onnxruntime; print('pipecat', pipecat.__version__)"
