# shellcheck shell=bash
# systemd units: those of the release are copied, those that the answers ask for are enabled.

# SOURCE<TAB>TARGET of every file of the release's systemd/ that belongs on this box.
unit_files() {
    local from=$CURRENT/share/systemd name
    [ -d "$from" ] || return 0
    find "$from" -maxdepth 1 -type f -name 'ivr*' -printf "%p\t$UNITS/%f\n"
    printf '%s\t%s\n' "$from/journald.conf.d/ivr.conf" /etc/systemd/journald.conf.d/ivr.conf
    for name in sysusers.d tmpfiles.d; do printf '%s\t%s\n' "$from/$name/ivr.conf" "/etc/$name/ivr.conf"; done
    if with_freeswitch; then printf '%s\t%s\n' "$from/freeswitch.service.d/ivr.conf" "$UNITS/freeswitch.service.d/ivr.conf"; fi
    [ "$(redis_kind)" != package ] || printf '%s\t%s\n' "$from/redis-server.service.d/ivr.conf" "$UNITS/redis-server@ivr.service.d/ivr.conf"
    [ "$(database_kind)" != package ] || printf '%s\t%s\n' "$from/postgresql@.service.d/ivr.conf" "$UNITS/postgresql@.service.d/ivr.conf"
    if [ "$(redis_kind)" = package ]; then
        for name in jobs admin; do printf '%s\t%s\n' "$from/ivr-$name.service.d/redis.conf" "$UNITS/ivr-$name.service.d/redis.conf"; done
    fi
    [ "$(systemd_version)" -lt 254 ] || printf '%s\t%s\n' "$from/backoff.conf" "$UNITS/ivr-.service.d/backoff.conf"
}

systemd_version() { systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p'; }

units_shipped() { unit_files | cut -f 2 | sed -n "s|^$UNITS/\(ivr[^/]*\)$|\1|p" | LC_ALL=C sort; }

# What runs on this box, in the order of their start; ivr.target wants them all.
units_wanted() {
    [ "$(database_kind)" != embedded ] || echo ivr-postgres.service
    [ "$(redis_kind)" != embedded ] || echo ivr-redis.service
    echo ivr-pools.service
    local port unit
    for port in $(worker_ports); do echo "ivr-worker@$port.service"; done
    if with_freeswitch; then echo ivr-switch.service; else echo ivr-sip.service; fi
    if [ "${ANSWER[FIREWALL]}" = yes ]; then
        unit=$CURRENT/share/systemd/ivr-firewall
        [ ! -f "$unit.service" ] || echo ivr-firewall.service
        ! with_freeswitch || [ ! -f "$unit-refresh.path" ] || echo ivr-firewall-refresh.path
    fi
    echo ivr-jobs.service
    echo ivr-admin.service
    [ ! -f "$CURRENT/share/systemd/ivr-backup.timer" ] || echo ivr-backup.timer
    echo ivr.target
}

# One worker carries 100 calls on a core: a second one only where the settings name it.
worker_ports() {
    local found
    found=$(sed -n 's/^worker_urls *= *//p' "$SETTINGS" 2>/dev/null | grep -o '127\.0\.0\.1:[0-9]*' | sed 's/.*://' | sort -u)
    echo "${found:-7000}"
}

units_enabled() { systemctl list-unit-files 'ivr*' --state=enabled --no-legend 2>/dev/null | awk '{ print $1 }' && enabled_instances; }
enabled_instances() { find "$UNITS" -path '*.wants/ivr-*@*.service' -printf '%f\n' 2>/dev/null; }

# Enabled once, and not wanted any more: the other SIP entrance after FreeSWITCH came, for example. Engine
# servers by themselves are never ours to enable, nor to disable (docs/systemd.md).
units_unwanted() {
    comm -23 <(units_enabled | grep -v '@\.' | grep -vE '^ivr-(stt|tts|turn|embed|rerank|llm)@' | LC_ALL=C sort -u) \
        <(units_wanted | LC_ALL=C sort -u)
}

units_done() {
    local unit source target
    [ -n "$(units_shipped)" ] || return 1
    while IFS=$'\t' read -r source target; do same_file "$source" "$target" || return 1; done < <(unit_files)
    for unit in $(units_wanted); do systemctl is-enabled --quiet "$unit" || return 1; done
    [ -z "$(units_unwanted)" ] && [ -z "$(units_stale)" ]
}

# Of an older release, and not shipped any more.
units_stale() {
    comm -23 <(find "$UNITS" -maxdepth 1 -type f -name 'ivr*' -printf '%f\n' | LC_ALL=C sort) <(units_shipped)
}

units_do() {
    local unit unwanted wanted source target
    [ -n "$(units_shipped)" ] || {
        echo "the release has no units in $CURRENT/share/systemd"
        return 1
    }
    for unit in $(units_stale); do
        systemctl disable --now "$unit" || true
        rm -f "$UNITS/$unit"
    done
    while IFS=$'\t' read -r source target; do
        same_file "$source" "$target" && continue
        mkdir -p "$(dirname "$target")"
        write_file "$target" 644 root:root <"$source"
        case $target in */journald.conf.d/*) systemctl restart systemd-journald ;; esac
    done < <(unit_files)
    systemd-tmpfiles --create /etc/tmpfiles.d/ivr.conf
    systemctl daemon-reload
    mapfile -t unwanted < <(units_unwanted)
    [ ${#unwanted[@]} = 0 ] || systemctl disable --now "${unwanted[@]}"
    mapfile -t wanted < <(units_wanted)
    systemctl enable "${wanted[@]}"
}

units_undo() { systemctl daemon-reload; }
units_plan() { units_wanted | tr '\n' ' '; }
units_fix() { echo "systemctl status 'ivr*'; systemd-analyze verify $UNITS/ivr*"; }
