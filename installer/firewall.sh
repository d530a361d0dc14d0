# shellcheck shell=bash
# nftables: what may reach this box (`ivr firewall`, a table of our own beside others'). Whoever installs
# over SSH is not locked out: the rules are tried with a timer that takes them back by itself, and it
# is stopped only when SSH is known to be open, and a person at the terminal has said so.

FIREWALL_FILE=$ETC/firewall.nft
FIREWALL_TRIAL=ivr-firewall-trial
FIREWALL_TRIAL_S=120

# The port that SSH is served on: of this very session, else of sshd.
ssh_port() {
    local port
    port=$(awk '{ print $4 }' <<<"${SSH_CONNECTION:-}")
    [ -n "$port" ] || port=$(listeners | awk '$3 == "sshd" { sub(/.*:/, "", $2); print $2; exit }')
    echo "${port:-22}"
}

# For configuration.sh: who may reach what.
firewall_settings() {
    [ "${ANSWER[FIREWALL]}" = yes ] || return 0
    printf 'firewall.ssh_port\t%s\n' "$(ssh_port)"
    printf 'firewall.phones\t%s\n' "$(toml_list "${ANSWER[PHONE_NETWORKS]}")"
    printf 'firewall.trunks\t%s\n' "$(toml_list "${ANSWER[TRUNK_NETWORKS]}")"
    printf 'firewall.console\t%s\n' "$(toml_list "${ANSWER[CONSOLE_NETWORKS]}")"
}

firewall_done() {
    [ "${ANSWER[FIREWALL]}" = yes ] || return 0
    nft list table inet ivr >/dev/null 2>&1 && cmp -s <(root_ivr firewall show) "$FIREWALL_FILE"
}

firewall_do() {
    systemctl stop "$FIREWALL_TRIAL.timer" 2>/dev/null || true
    systemd-run --quiet --unit="$FIREWALL_TRIAL" --on-active="$FIREWALL_TRIAL_S" --collect \
        --setenv=IVR_SETTINGS="$SETTINGS" "$CURRENT/.venv/bin/ivr" firewall remove
    root_ivr firewall apply --yes
    ssh_is_open || {
        echo "the rules would shut out the SSH session that this runs in"
        return 1
    }
}

# ssh_is_open: the rules in force name the port, and for a remote session its address.
ssh_is_open() {
    local client
    nft list chain inet ivr input | grep -Eq "tcp dport (\{ )?$(ssh_port)\b.*accept|tcp dport ssh.*accept" || return 1
    client=$(awk '{ print $1 }' <<<"${SSH_CONNECTION:-}")
    case $client in
        "") return 0 ;;
        *:*) nft get element inet ivr ssh6 "{ $client }" >/dev/null 2>&1 ;;
        *) nft get element inet ivr ssh4 "{ $client }" >/dev/null 2>&1 ;;
    esac
}

# confirm_firewall: after its step. With nobody at a terminal the check of the rules decides.
confirm_firewall() {
    systemctl is-active --quiet "$FIREWALL_TRIAL.timer" || return 0
    if [ -t 0 ] && [ -n "${SSH_CONNECTION:-}" ]; then
        printf 'The firewall is in force. Open a second SSH session now; if that works, press Enter (%s s, else the rules are taken back): ' "$FIREWALL_TRIAL_S"
        read -r -t "$FIREWALL_TRIAL_S" || die "nobody confirmed the firewall; its rules are being taken back" "Look at firewall.ssh in $SETTINGS, and run install.sh again; or answer FIREWALL=no."
    fi
    systemctl stop "$FIREWALL_TRIAL.timer"
}

firewall_undo() {
    systemctl stop "$FIREWALL_TRIAL.timer" 2>/dev/null || true
    root_ivr firewall remove
}
firewall_plan() { if [ "${ANSWER[FIREWALL]}" = no ]; then echo "left out"; else echo "nftables, a table of our own; SSH on port $(ssh_port) stays open"; fi; }
firewall_fix() { echo "ivr firewall show prints the rules; FIREWALL=no leaves them out."; }

remove_firewall() {
    systemctl stop "$FIREWALL_TRIAL.timer" 2>/dev/null || true
    ! have nft || nft delete table inet ivr 2>/dev/null || true
    rm -f "$FIREWALL_FILE"
}
