# shellcheck shell=bash
# Postgres with pgvector >= 0.7. Debian 12 packages none and Ubuntu 24.04 has 0.6, so a package's
# server is taken only where a source of apt offers a newer one (PostgreSQL's own repository); else
# the embedded server runs as ivr-postgres.service. A server elsewhere is named by its URL.

LEAST_PGVECTOR=0.7
POSTGRES_MAJORS="18 17 16 15"

database_kind() {
    case ${ANSWER[DATABASE]} in
        auto) kept_kind DATABASE || decided_database ;;
        *) echo "${ANSWER[DATABASE]}" ;;
    esac
}

decided_database() {
    if compgen -G "$DATA/postgres/*" >/dev/null; then
        echo embedded
    elif grep -qsF 'host=/var/run/postgresql' "$SETTINGS"; then
        echo package
    elif [ -z "${OFFLINE:-}" ] && [ -n "$(pgvector_packages)" ]; then
        echo package
    else
        echo embedded
    fi
}

# postgres_majors: in the order to look for them; the one that is here stays.
postgres_majors() {
    local major
    for major in $POSTGRES_MAJORS; do ! is_installed "postgresql-$major-pgvector" || echo "$major"; done
    echo "$POSTGRES_MAJORS"
}

# pgvector_packages: server and extension, of the major version that is here, else the newest that apt has.
pgvector_packages() {
    local major found
    for major in $(postgres_majors); do
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
        package) [ "$(as_postgres "SELECT count(*) FROM pg_extension WHERE extname = 'vector'" ivr)" = 1 ] ;;
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
    [ "$(as_postgres "SELECT count(*) FROM pg_database WHERE datname = 'ivr'")" = 1 ] || as_postgres "CREATE DATABASE ivr OWNER ivr"
    as_postgres "CREATE EXTENSION IF NOT EXISTS vector" ivr
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

# as_postgres SQL [DATABASE]
as_postgres() { runuser -u postgres -- psql -X -q -A -t -d "${2:-postgres}" -c "$1"; }
