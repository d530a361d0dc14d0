# shellcheck shell=bash
# A step is five functions named after it: NAME_done (nothing is left to do), NAME_do, NAME_undo
# (after a failure: nothing half-done stays or runs), NAME_plan (one line for --dry-run) and
# NAME_fix (what a person does about a failure). Each step has a log of its own.

STEP_NUMBER=0
STEP_CHANGED=0
STEP_RUNNING=""

# step NAME TITLE
step() {
    local name=$1 title=$2 log=$LOGS/install-$1.log began status
    STEP_NUMBER=$((STEP_NUMBER + 1))
    if [ -n "$DRY_RUN" ]; then
        printf '%2d. %-28s %s\n' $STEP_NUMBER "$title" "$("${name}_plan")"
        return
    fi
    [ -n "${QUIET:-}" ] || printf '%2d. %-28s ' $STEP_NUMBER "$title"
    if ("${name}_done") >/dev/null 2>&1; then
        say "already done"
        return
    fi
    began=$SECONDS
    STEP_RUNNING=$name
    mkdir -p "$LOGS"
    printf '\n== %s %s\n' "$(date -Is)" "$title" >>"$log" || true # a full disk is the step's to report
    # Not in a condition: there bash would forget "set -e" in all that it calls.
    set +e
    (
        set -e
        "${name}_do"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    [ $status = 0 ] || step_failed "$name" "$title" "$log" $status
    STEP_RUNNING=""
    STEP_CHANGED=$((STEP_CHANGED + 1))
    say "ok ($((SECONDS - began)) s)"
}

step_failed() {
    local name=$1 title=$2 log=$3 status=$4
    ("${name}_undo") >>"$log" 2>&1 </dev/null || warn "what $title had begun could not be taken back; see $log"
    STEP_RUNNING=""
    say "FAILED (status $status)"
    {
        tail -n 12 "$log" 2>/dev/null | sed 's/^/    /'
        printf 'install.sh: step %s (%s) failed; what it had begun is taken back.\n  Log: %s\n  What to do: %s\n' \
            "$name" "$title" "$log" "$("${name}_fix")"
        printf '  Then run install.sh again: it goes on where it stopped.\n'
    } >&2
    exit 1
}

# interrupted: Ctrl-C or SIGTERM in the middle of a step.
interrupted() {
    trap - INT TERM HUP
    if [ -n "$STEP_RUNNING" ]; then
        ("${STEP_RUNNING}_undo") >>"$LOGS/install-$STEP_RUNNING.log" 2>&1 </dev/null || true
        die "stopped in step $STEP_RUNNING; what it had begun is taken back" "Run install.sh again."
    fi
    die "stopped"
}

# one_at_a_time: a second installer waits for nobody; it says who is there.
one_at_a_time() {
    exec 9>/run/ivr-install.lock
    flock -w "${LOCK_WAIT_S:-10}" 9 ||
        die "another install.sh (or what it had started when it was killed) still works here" \
            "Wait for it: fuser -v /run/ivr-install.lock shows it."
}
