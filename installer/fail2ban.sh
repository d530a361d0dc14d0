# shellcheck shell=bash
# fail2ban shuts out who guesses passwords or scans: filters come with the release, jails from
# `ivr firewall jail`, which knows the settings.

FAIL2BAN_WAIT_S=30

fail2ban_filters() { find "$CURRENT/share/installer/fail2ban/filter.d" -name '*.conf' -printf '%f\n' | LC_ALL=C sort; }

jails_text() {
    root_ivr firewall jail
    # Debian 12 has no /var/log/auth.log without rsyslog, and the package's jail for it fails then.
    [ -f /var/log/auth.log ] || printf '\n[sshd]\nbackend = systemd\n'
}

fail2ban_done() {
    local file
    [ "${ANSWER[FAIL2BAN]}" = yes ] || return 0
    for file in $(fail2ban_filters); do
        same_file "$CURRENT/share/installer/fail2ban/filter.d/$file" "/etc/fail2ban/filter.d/$file" || return 1
    done
    cmp -s <(jails_text) /etc/fail2ban/jail.d/ivr.conf && active fail2ban
}

fail2ban_do() {
    local file
    for file in $(fail2ban_filters); do
        write_file "/etc/fail2ban/filter.d/$file" 644 root:root <"$CURRENT/share/installer/fail2ban/filter.d/$file"
    done
    jails_text | write_file /etc/fail2ban/jail.d/ivr.conf 644 root:root
    if with_freeswitch && [ ! -f /var/log/freeswitch/freeswitch.log ]; then
        mkdir -p /var/log/freeswitch # it is made at FreeSWITCH's first start; the jail wants it now
        touch /var/log/freeswitch/freeswitch.log
        ! getent passwd freeswitch >/dev/null || chown freeswitch: /var/log/freeswitch /var/log/freeswitch/freeswitch.log
    fi
    fail2ban-client --test
    systemctl enable fail2ban
    systemctl restart fail2ban
    await_fail2ban
}

# Its unit does not say whether it runs: the package that Ubuntu 24.04 came out with ends at once.
await_fail2ban() {
    local i
    for ((i = 0; i < FAIL2BAN_WAIT_S; i++)); do
        if fail2ban-client ping; then return; fi
        active fail2ban || break
        sleep 1
    done
    echo "fail2ban does not run (after $i s)"
    journalctl -u fail2ban -n 20 --no-pager -o cat
    return 1
}

fail2ban_undo() { remove_fail2ban; }
fail2ban_plan() { if [ "${ANSWER[FAIL2BAN]}" = yes ]; then echo "jails for SIP and the console"; else echo "left out"; fi; }
fail2ban_fix() {
    echo "fail2ban-client --test says which file it dislikes; \"No module named 'asynchat'\" (Ubuntu 24.04): its" \
        "package is older than its Python, noble-updates has one that runs; FAIL2BAN=no leaves it out."
}

remove_fail2ban() {
    [ -d /etc/fail2ban ] || return 0
    rm -f /etc/fail2ban/filter.d/ivr-*.conf /etc/fail2ban/jail.d/ivr.conf
    if grep -qx fail2ban "$STATE/packages" 2>/dev/null; then
        systemctl disable --now fail2ban 2>/dev/null || true # it came with us, and watches nothing of anybody's
    else
        systemctl try-restart fail2ban 2>/dev/null || true
    fi
}
