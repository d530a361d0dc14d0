# shellcheck shell=bash
# What the installer says, and the few words that every step uses.

say() { [ -n "${QUIET:-}" ] || printf '%s\n' "$*"; }
warn() { printf 'note: %s\n' "$*" >&2; }

# die WHAT [WHAT TO DO]: one sentence each, on stderr.
die() {
    printf 'install.sh: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '  What to do: %s\n' "$2" >&2
    exit 1
}

# json_text TEXT: a JSON string. Bash alone, for before the packages there is no Python.
json_text() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    text=${text//$'\r'/}
    printf '"%s"' "$text"
}

have() { command -v "$1" >/dev/null 2>&1; }

# write_file PATH MODE OWNER:GROUP <TEXT: whole or not at all; untouched when it says the same.
write_file() {
    local path=$1 mode=$2 owner=$3 new
    new=$(mktemp "$path.XXXXXX")
    cat >"$new"
    chmod "$mode" "$new"
    chown "$owner" "$new"
    if [ -f "$path" ] && cmp -s "$new" "$path" &&
        [ "$(stat -c '%a %U:%G' "$path")" = "$(stat -c '%a %U:%G' "$new")" ]; then
        rm -f "$new"
        return
    fi
    mv -f "$new" "$path"
}

# folder PATH MODE OWNER:GROUP
folder() { install -d -m "$2" -o "${3%:*}" -g "${3#*:}" "$1"; }

# same_file A B: whether both are there and say the same.
same_file() { [ -f "$1" ] && [ -f "$2" ] && cmp -s "$1" "$2"; }

# ivr ARGUMENTS: the release in force, as the service's user, so that nothing of root's is left in
# its folders. root_ivr: the few commands that write outside of them.
ivr() { runuser -u ivr -- env "${IVR_ENVIRONMENT[@]}" "$CURRENT/.venv/bin/ivr" "$@"; }
root_ivr() { env "${IVR_ENVIRONMENT[@]}" "$CURRENT/.venv/bin/ivr" "$@"; }
