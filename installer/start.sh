# shellcheck shell=bash
# Start everything, and wait until calls are answered.

START_WAIT_S=120
ENGINES_WAIT_S=600 # a large model is read from a slow disk
ENGINES_TRIES=10

start_done() {
    local unit
    for unit in $(units_wanted); do active "$unit" || return 1; done
    ! with_freeswitch || { active freeswitch && freeswitch_is_current; } || return 1
    # A release or settings that came since the start are not in force yet.
    [ "$(cat "$STATE/started" 2>/dev/null)" = "$(start_told)" ]
}

start_told() {
    printf '%s %s' "$(readlink "$CURRENT")" "$(sha256sum <"$SETTINGS" | cut -c 1-16)"
    find "$ENGINES" -maxdepth 1 -type l -printf ' %l\n' 2>/dev/null | LC_ALL=C sort | tr -d '\n' || true
    echo
}

start_do() {
    local unit wanted
    ! with_freeswitch || start_freeswitch
    mapfile -t wanted < <(units_wanted | grep -v '\.timer$')
    # Who was too slow is tried again by systemd, and waited for below.
    if [ -f "$STATE/started" ] && [ "$(cat "$STATE/started")" != "$(start_told)" ]; then
        systemctl restart "${wanted[@]}" || true # waits for live calls, as each unit's own stop does
    else
        systemctl start "${wanted[@]}" || true
    fi
    for unit in $(units_wanted); do systemctl start "$unit" || true; done
    for unit in "${wanted[@]}"; do await_unit "$unit"; done
    await_engines
    start_told >"$STATE/started"
    prune_engines
}

# What FreeSWITCH reads when it starts; trunks and telephones it is told of while it runs.
freeswitch_configuration() {
    find "$FREESWITCH_CONF" -name '*.xml' \( -not -path '*/site/*' -o -path '*/site/vars.xml' \) -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}
freeswitch_is_current() { [ "$(cat "$STATE/freeswitch.started" 2>/dev/null)" = "$(freeswitch_configuration)" ]; }

# It takes every call with it: it starts anew only for another configuration, when those of agents are over.
start_freeswitch() {
    systemctl enable freeswitch
    if freeswitch_is_current; then
        systemctl start freeswitch
        return
    fi
    systemctl stop 'ivr-worker@*' ivr-switch.service || true
    systemctl restart freeswitch
    freeswitch_configuration >"$STATE/freeswitch.started"
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

# await_engines: ivr-pools is active before its servers have loaded their models, and what comes next
# (the sample's knowledge, the call) asks them.
await_engines() {
    local i
    for ((i = 0; i < ENGINES_WAIT_S; i++)); do
        case $(systemctl show -p StatusText --value ivr-pools.service) in *"servers are up") return ;; esac
        [ "$(systemctl show -p NRestarts --value ivr-pools.service)" -lt $ENGINES_TRIES ] || break
        sleep 1
    done
    echo "the engine servers do not come up (after $i s)"
    journalctl -u ivr-pools.service -n 20 --no-pager -o cat
    return 1
}

# What failed to start is not left trying for ever; a box that worked before keeps what works.
start_undo() {
    [ -f "$STATE/started" ] || systemctl stop ivr.target 'ivr-*'
}
start_plan() { echo "systemctl start ivr.target"; }
start_fix() { echo "journalctl -u 'ivr-*' -n 100 shows the last words of what did not start."; }
