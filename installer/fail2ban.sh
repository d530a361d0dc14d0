# shellcheck shell=bash
# fail2ban shuts out who guesses passwords or scans: FreeSWITCH's log and that of `ivr sip`.

FAIL2BAN_FILES=(filter.d/ivr-freeswitch.conf filter.d/ivr-sip.conf jail.d/ivr.conf)

fail2ban_text() {
    case $1 in
        filter.d/ivr-freeswitch.conf) cat <<'TEXT' ;;
# Made by install.sh. Of FreeSWITCH: wrong passwords of telephones, calls from nobody's address.
[Definition]
failregex = ^.*SIP auth (?:failure|challenge) \((?:REGISTER|INVITE)\) on sofia profile '[^']+' for \[[^\]]*\] from ip <HOST>\s*$
            ^.*IP <HOST> Rejected by (?:register )?acl "[^"]*"
ignoreregex = SIP auth challenge \(REGISTER\)
TEXT
        filter.d/ivr-sip.conf) cat <<'TEXT' ;;
# Made by install.sh. Of `ivr sip`: packets from networks that may not call.
[Definition]
failregex = ^.*! sip: .* from <HOST>\b.*(?:not in sip\.allow|refused|dropped)
ignoreregex =
TEXT
        jail.d/ivr.conf)
            echo "# Made by install.sh."
            if with_freeswitch; then
                printf '[ivr-freeswitch]\nenabled = true\nfilter = ivr-freeswitch\nbackend = auto\nlogpath = /var/log/freeswitch/freeswitch.log\n'
            else
                printf '[ivr-sip]\nenabled = true\nfilter = ivr-sip\nbackend = systemd\njournalmatch = _SYSTEMD_UNIT=ivr-sip.service\n'
            fi
            printf 'banaction = nftables-allports\nmaxretry = 5\nfindtime = 10m\nbantime = 1h\nignoreip = %s\n\n' \
                "$(unique "127.0.0.0/8,${ANSWER[PUBLIC_ADDRESS]},${ANSWER[TRUNK_NETWORKS]}" | tr , ' ')"
            # Debian 12 has no /var/log/auth.log without rsyslog, and the package's jail for it fails then.
            [ -f /var/log/auth.log ] || printf '[sshd]\nbackend = systemd\n'
            ;;
    esac
}

fail2ban_done() {
    local file
    [ "${ANSWER[FAIL2BAN]}" = yes ] || return 0
    for file in "${FAIL2BAN_FILES[@]}"; do cmp -s <(fail2ban_text "$file") "/etc/fail2ban/$file" || return 1; done
    active fail2ban
}

fail2ban_do() {
    local file
    for file in "${FAIL2BAN_FILES[@]}"; do fail2ban_text "$file" | write_file "/etc/fail2ban/$file" 644 root:root; done
    if with_freeswitch && [ ! -f /var/log/freeswitch/freeswitch.log ]; then
        mkdir -p /var/log/freeswitch # it is made at FreeSWITCH's first start; the jail wants it now
        touch /var/log/freeswitch/freeswitch.log
        ! getent passwd freeswitch >/dev/null || chown freeswitch: /var/log/freeswitch /var/log/freeswitch/freeswitch.log
    fi
    fail2ban-client --test
    systemctl enable fail2ban
    systemctl restart fail2ban
}

fail2ban_undo() {
    local file
    for file in "${FAIL2BAN_FILES[@]}"; do rm -f "/etc/fail2ban/$file"; done
    systemctl try-restart fail2ban
}
fail2ban_plan() { if [ "${ANSWER[FAIL2BAN]}" = yes ]; then echo "jail for SIP"; else echo "left out"; fi; }
fail2ban_fix() { echo "fail2ban-client --test says which file it dislikes; FAIL2BAN=no leaves it out."; }
