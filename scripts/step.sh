#!/bin/sh
# Runs one step quietly: step.sh NAME COMMAND... Says how long it took, or how it ended and where
# its output lies.
set -u
name=$1
shift
log=build/log/$(printf %s "$name" | tr -c 'a-zA-Z0-9\n' -).log
mkdir -p build/log
printf '  %-22s ' "$name"
began=$(date +%s)
if "$@" >"$log" 2>&1; then
    echo "ok ($(($(date +%s) - began)) s)"
else
    status=$?
    echo "FAILED (status $status)"
    tail -n 30 "$log" | sed 's/^/    /'
    echo "  $name failed; all it said is in $log"
    exit "$status"
fi
