# shellcheck shell=bash
# The tables: brought up to this release's, with the database running.

migration_done() {
    [ "$(cat "$STATE/schema.told" 2>/dev/null)" = "$(migration_told)" ] && database_answers
}
migration_told() { echo "$(readlink "$CURRENT") $(database_kind)"; }

database_answers() {
    runuser -u "$SERVICE_USER" -- env "${IVR_ENVIRONMENT[@]}" "$CURRENT/.venv/bin/python" -c '
import psycopg
from appliance.settings import load
from appliance.store.database import database_url
psycopg.connect(database_url(load()), connect_timeout=3).close()' 2>/dev/null
}

migration_do() {
    [ "$(database_kind)" != embedded ] || systemctl start ivr-postgres.service
    local i
    for i in {1..60}; do
        if database_answers; then break; fi
        [ "$i" -lt 60 ] || echo "the database does not answer"
        sleep 0.5
    done
    ivr db upgrade
    migration_told >"$STATE/schema.told"
}

migration_undo() { [ "$(database_kind)" != embedded ] || active ivr.target || systemctl stop ivr-postgres.service; }
migration_plan() { echo "ivr db upgrade"; }
migration_fix() { echo "journalctl -u ivr-postgres, or the server that $SETTINGS names; then ivr db upgrade."; }
