# shellcheck shell=bash
# --uninstall: what the installer made goes: units, user, rules, links, releases. What callers and
# people left (recordings, database, settings, backups) goes only when that is asked for.

uninstall() {
    local keep=${DATA_CHOICE:-}
    [ -n "$keep" ] || keep=$(ask_about_data)
    if [ -n "$DRY_RUN" ]; then
        say "Would stop and remove: $(installed_units | tr '\n' ' ')$OPT $WRAPPER$([ "$keep" = keep ] || echo " $ETC $DATA $BACKUPS $LOGS, user $SERVICE_USER")"
        return
    fi
    say "Stopping the appliance (live calls end first)"
    remove_units
    remove_firewall
    remove_fail2ban
    restore_freeswitch
    remove_redis
    rm -f "$WRAPPER"
    rm -rf "$OPT"
    if [ "$keep" = keep ]; then
        remember_packages
        say "Removed. $ETC, $DATA and $BACKUPS stay, with their user $SERVICE_USER: install.sh takes them up again."
    else
        remove_data
        say "Removed, with all data."
    fi
}

ask_about_data() {
    local given
    [ -t 0 ] || die "Shall the data go too?" "Say --keep-data or --purge-data: nobody is at a terminal to be asked."
    printf 'Remove recordings, database, settings and backups too? They cannot be had back. Type "purge" to remove them: ' >&2
    IFS= read -r given
    if [ "$given" = purge ]; then echo purge; else echo keep; fi
}

installed_units() { find "$UNITS" -maxdepth 1 \( -name 'ivr*' -o -path '*.wants/ivr*' \) -printf '%f\n' 2>/dev/null | LC_ALL=C sort -u; }

remove_units() {
    systemctl stop ivr.target 2>/dev/null || true
    systemctl list-units --all --no-legend --plain 'ivr*' 2>/dev/null | awk '{ print $1 }' |
        xargs -r systemctl stop 2>/dev/null || true
    local unit
    for unit in $(installed_units); do systemctl disable "$unit" 2>/dev/null || true; done
    find "$UNITS" -maxdepth 1 \( -name 'ivr*' \) -exec rm -rf {} +
    find "$UNITS" -mindepth 2 -maxdepth 2 -name 'ivr*' -delete
    rm -f "$UNITS"/{freeswitch,redis-server@ivr,postgresql@}.service.d/ivr.conf /etc/{sysusers,tmpfiles}.d/ivr.conf
    rmdir "$UNITS"/{freeswitch,redis-server@ivr,postgresql@}.service.d 2>/dev/null || true
    if [ -f /etc/systemd/journald.conf.d/ivr.conf ]; then
        rm /etc/systemd/journald.conf.d/ivr.conf
        rmdir --ignore-fail-on-non-empty /etc/systemd/journald.conf.d
        systemctl restart systemd-journald
    fi
    rmdir "$UNITS"/ivr*.wants 2>/dev/null || true
    systemctl daemon-reload
    rm -f /var/lib/systemd/timers/stamp-ivr-*
    systemctl reset-failed 'ivr*' 2>/dev/null || true
}

# The configuration that FreeSWITCH had before ours comes back.
restore_freeswitch() {
    [ -f "$STATE/freeswitch.told" ] || return 0
    local kept
    kept=$(tail -n 1 "$STATE/freeswitch.kept" 2>/dev/null || true)
    systemctl stop freeswitch 2>/dev/null || true
    rm -rf "$FREESWITCH_CONF"
    [ -z "$kept" ] || [ ! -d "$kept" ] || mv "$kept" "$FREESWITCH_CONF"
    rm -f "$STATE"/freeswitch.{told,started,kept}
}

remove_redis() {
    [ -f "$REDIS_CONF" ] || return 0
    systemctl disable --now redis-server@ivr 2>/dev/null || true
    rm -f "$REDIS_CONF"
}

# Packages stay: other programs may have come to need them. What we brought is said.
remember_packages() {
    [ ! -s "$STATE/packages" ] ||
        say "Debian packages that the installer brought: $(sort -u "$STATE/packages" | paste -sd ' ' -)"
    rm -f "$STATE/started" "$STATE/schema.told" "$STATE/models.told" "$STATE"/engines.* "$STATE/line"
}

remove_data() {
    remember_packages
    if [ "$(database_kind 2>/dev/null)" = package ]; then
        as_postgres "DROP DATABASE IF EXISTS ivr" && as_postgres "DROP ROLE IF EXISTS ivr"
    fi
    rm -rf "$ETC" "$DATA" "$BACKUPS" "$LOGS" "$STATE" /run/ivr
    if id -u "$SERVICE_USER" >/dev/null 2>&1; then
        ! getent passwd freeswitch >/dev/null || gpasswd -d freeswitch "$SERVICE_USER" >/dev/null 2>&1 || true
        userdel "$SERVICE_USER"
    fi
    ! getent group "$SERVICE_USER" >/dev/null || groupdel "$SERVICE_USER"
    rm -f /run/ivr-install.lock
}
