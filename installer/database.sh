# shellcheck shell=bash
# Postgres with pgvector >= 0.7. Debian 12 packages none and Ubuntu 24.04 has 0.6, so a package's
# server is taken only where a source of apt offers a newer one (PostgreSQL's own repository); else
# the embedded server runs as ivr-postgres.service. A server elsewhere is named by its URL.

LEAST_PGVECTOR=0.7

database_kind() {
    case ${ANSWER[DATABASE]} in
        auto) if [ -z "${OFFLINE:-}" ] && [ -n "$(pgvector_packages)" ]; then echo package; else echo embedded; fi ;;
        *) echo "${ANSWER[DATABASE]}" ;;
    esac
}

# pgvector_packages: server and extension, of the newest major version that apt has.
pgvector_packages() {
    local major found
    for major in 18 17 16 15; do
        found=$(candidate "postgresql-$major-pgvector")
        if [ -n "$found" ] && dpkg --compare-versions "$found" ge $LEAST_PGVECTOR; then
            printf '%s\n' "postgresql-$major" "postgresql-$major-pgvector"
            return
        fi
    done
}

# The package's server is reached by its socket as the role `ivr`: the system user of that name is its
# password.
database_setting() {
    case $(database_kind) in
        package) echo "postgresql://ivr@/ivr?host=/var/run/postgresql" ;;
        url) [ -z "${ANSWER[DATABASE_URL_FILE]}" ] || head -n 1 "${ANSWER[DATABASE_URL_FILE]}" ;;
    esac
}

database_done() {
    case $(database_kind) in
        package) [ "$(as_postgres "SELECT count(*) FROM pg_database WHERE datname = 'ivr'")" = 1 ] ;;
        *) return 0 ;;
    esac
}

database_do() {
    [ -n "$(pgvector_packages)" ] || {
        echo "DATABASE=package, and no source of apt has pgvector $LEAST_PGVECTOR or newer"
        return 1
    }
    systemctl enable --now postgresql
    [ "$(as_postgres "SELECT count(*) FROM pg_roles WHERE rolname = 'ivr'")" = 1 ] || as_postgres "CREATE ROLE ivr LOGIN"
    as_postgres "CREATE DATABASE ivr OWNER ivr"
    runuser -u postgres -- psql -X -q -d ivr -c "CREATE EXTENSION IF NOT EXISTS vector"
}

database_undo() { :; } # an empty database without readers
database_plan() {
    case $(database_kind) in
        package) echo "role and database ivr in $(pgvector_packages | head -n 1)" ;;
        embedded) echo "embedded server, ivr-postgres.service" ;;
        url) echo "the server that $SETTINGS names" ;;
    esac
}
database_fix() { echo "DATABASE=embedded needs no package; for a package's server add PostgreSQL's apt repository."; }

as_postgres() { runuser -u postgres -- psql -X -q -A -t -c "$1"; }
