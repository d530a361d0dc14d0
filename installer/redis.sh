# shellcheck shell=bash
# Redis, the queue of background jobs: Debian's package as an instance of our own (password, loopback
# only, no snapshots: nothing is in it that Postgres does not know), or the embedded server.

REDIS_CONF=/etc/redis/redis-ivr.conf
REDIS_PORT=7379

redis_kind() {
    case ${ANSWER[REDIS]} in
        auto) kept_kind REDIS || decided_redis ;;
        *) echo "${ANSWER[REDIS]}" ;;
    esac
}

decided_redis() {
    if [ -f "$REDIS_CONF" ]; then
        echo package
    elif compgen -G "$DATA/redis/*" >/dev/null; then
        echo embedded
    elif [ -z "${OFFLINE:-}" ] && [ -n "$(candidate redis-server)" ]; then
        echo package
    else
        echo embedded
    fi
}

redis_setting() {
    case $(redis_kind) in
        package) printf 'redis://:%s@127.0.0.1:%s/0\n' "$(sed -n 's/^requirepass //p' $REDIS_CONF)" $REDIS_PORT ;;
        url) [ -z "${ANSWER[REDIS_URL_FILE]}" ] || head -n 1 "${ANSWER[REDIS_URL_FILE]}" ;;
    esac
}

redis_done() {
    case $(redis_kind) in
        package) [ -f $REDIS_CONF ] && active redis-server@ivr ;;
        *) [ ! -f $REDIS_CONF ] ;;
    esac
}

redis_do() {
    if [ "$(redis_kind)" != package ]; then
        remove_redis # another answer than before: it would keep the port
        return
    fi
    # The package starts a server on 6379 without a password. If we brought it, it is not wanted.
    if grep -qx redis-server "$STATE/packages" 2>/dev/null; then systemctl disable --now redis-server; fi
    [ -f $REDIS_CONF ] || redis_text "$(random_password)" | write_file $REDIS_CONF 640 root:redis
    systemctl enable redis-server@ivr
    systemctl restart redis-server@ivr
    redis_answers
}

redis_text() {
    cat <<TEXT
# Made by install.sh: the queue of the IVR's background jobs.
bind 127.0.0.1
port $REDIS_PORT
requirepass $1
save ""
appendonly no
dir /var/lib/redis
maxmemory 256mb
maxmemory-policy noeviction
supervised systemd
daemonize no
TEXT
}

redis_answers() {
    local i
    for i in {1..50}; do
        (exec 3<>/dev/tcp/127.0.0.1/$REDIS_PORT && printf 'AUTH %s\r\nPING\r\n' \
            "$(sed -n 's/^requirepass //p' $REDIS_CONF)" >&3 && head -n 2 <&3 | grep -q PONG) 2>/dev/null && return
        sleep 0.2
    done
    echo "redis-server@ivr does not answer on port $REDIS_PORT after $i tries"
    return 1
}

redis_undo() { systemctl disable --now redis-server@ivr; }
redis_plan() {
    case $(redis_kind) in
        package) echo "redis-server@ivr on 127.0.0.1:$REDIS_PORT, with a password" ;;
        embedded) echo "embedded server, ivr-redis.service" ;;
        url) echo "the server that $SETTINGS names" ;;
    esac
}
redis_fix() { echo "journalctl -u redis-server@ivr; REDIS=embedded needs no package."; }

# random_password: 32 letters and digits from the kernel's generator.
random_password() {
    local text
    text=$(head -c 256 /dev/urandom | base64 -w 0 | tr -dc 'a-zA-Z0-9')
    printf '%s' "${text:0:32}"
}
