# shellcheck shell=bash
# Start everything, and wait until calls are answered.

START_WAIT_S=120

start_done() {
    local unit
    for unit in $(units_wanted); do active "$unit" || return 1; done
    ! with_freeswitch || active freeswitch || return 1
    # A release or settings that came since the start are not in force yet.
    [ "$(cat "$STATE/started" 2>/dev/null)" = "$(start_told)" ]
}

start_told() { printf '%s %s\n' "$(readlink "$CURRENT")" "$(sha256sum <"$SETTINGS" | cut -c 1-16)"; }

start_do() {
    local unit wanted
    if with_freeswitch; then
        systemctl enable freeswitch
        systemctl restart freeswitch
    fi
    mapfile -t wanted < <(units_wanted | grep -v '\.timer$')
    if [ -f "$STATE/started" ] && [ "$(cat "$STATE/started")" != "$(start_told)" ]; then
        systemctl restart "${wanted[@]}" # waits for live calls, as each unit's own stop does
    else
        systemctl start "${wanted[@]}"
    fi
    for unit in $(units_wanted); do systemctl start "$unit"; done
    for unit in "${wanted[@]}"; do await_unit "$unit"; done
    start_told >"$STATE/started"
}

# await_unit UNIT: active within START_WAIT_S, or its last words.
await_unit() {
    local i
    for ((i = 0; i < START_WAIT_S; i++)); do
        if active "$1"; then return; fi
        if systemctl is-failed --quiet "$1"; then break; fi
        sleep 1
    done
    echo "$1 does not run: $(systemctl show -p ActiveState,Result "$1" | paste -sd ' ' -)"
    journalctl -u "$1" -n 20 --no-pager -o cat
    return 1
}

# What failed to start is not left trying for ever; a box that worked before keeps what works.
start_undo() {
    [ -f "$STATE/started" ] || systemctl stop ivr.target 'ivr-*'
}
start_plan() { echo "systemctl start ivr.target"; }
start_fix() { echo "journalctl -u 'ivr-*' -n 100 shows the last words of what did not start."; }
