#!/bin/bash
# Installs the voice appliance on Debian 12 (and Ubuntu 24.04), repairs it, upgrades it, removes it.
# The steps are in installer/, one file for each noun; docs/install.md is their guide.
# shellcheck disable=SC2034  # what is set here is read there
set -euo pipefail
umask 022
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PARTS=$HERE/installer
DRY_RUN="" QUIET="" OFFLINE="" WHEELS="" PACKAGES="" DATA_CHOICE="" AS_JSON="" ANSWERS_GIVEN="" KEY="" NO_CALL=""
ACTION=install
CLEANUP=()

for part in say places facts preflight questions steps bundle users packages python database redis \
    freeswitch configuration models engines firewall fail2ban units migration start people ring uninstall; do
    # shellcheck source=/dev/null
    . "$PARTS/$part.sh"
done

usage() {
    cat <<'TEXT'
Usage: install.sh [OPTIONS]

Puts the voice appliance on this machine (Debian 12, Ubuntu 24.04); again: repairs or upgrades it.
It asks a few questions, does its steps one after the other, and ends by ringing itself.

  --answers FILE     Ask nothing: answers from FILE (installer/answers.example).
  --check            Only say whether this machine is fit; change nothing.
  --dry-run          Say what would be done; change nothing.
  --offline BUNDLE   Everything from a bundle of `ivr bundle create`; nothing is fetched.
  --key FILE         The public key that BUNDLE is checked by, the first time: what
                     `ivr bundle keygen release.key` wrote as release.key.pub.
  --wheels FOLDER    Python packages from FOLDER, not from the index; hashes are checked all the same.
  --packages FOLDER  For developers: Python packages as they stand in an environment's site-packages,
                     of the lock's versions and for this machine's Python; nothing is fetched.
  --no-call          Do not ring the box at the end.
  --uninstall        Remove it; asks about the data, unless --keep-data or --purge-data is said.
  --json             With --check: one JSON object as the last line.
  --help             This.

Secrets come from files that the answers name, or SIGNALWIRE_TOKEN; none is kept or logged.

Examples:
  ./install.sh --check
  ./install.sh
  ./install.sh --answers /root/ivr.answers
  ./install.sh --offline /media/usb/ivr-0.2.0.tar --key /root/release.key.pub --answers /root/ivr.answers
  ./install.sh --uninstall --keep-data

Status 0: done. 1: a step failed, or the machine is not fit; what and why is said. 2: wrong usage.
TEXT
}

wrong_usage() {
    printf 'install.sh: %s\n  See install.sh --help\n' "$1" >&2
    exit 2
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --answers | --offline | --key | --wheels | --packages)
                [ -n "${2:-}" ] || wrong_usage "$1 wants a file or folder."
                case $1 in --answers) ANSWERS_GIVEN=$2 ;; --offline) OFFLINE=$(realpath -- "$2") ;; --key) KEY=$2 ;; --wheels) WHEELS=$(realpath -- "$2") ;; --packages) PACKAGES=$(realpath -- "$2") ;; esac
                shift
                ;;
            --check) ACTION=check ;;
            --uninstall) ACTION=uninstall ;;
            --dry-run) DRY_RUN=1 ;;
            --no-call) NO_CALL=1 ;;
            --keep-data) DATA_CHOICE=keep ;;
            --purge-data) DATA_CHOICE=purge ;;
            --json) AS_JSON=1 QUIET=1 ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) wrong_usage "$1 is no option." ;;
        esac
        shift
    done
    [ -z "$AS_JSON" ] || [ $ACTION = check ] || wrong_usage "--json goes with --check."
    [ -z "$DATA_CHOICE" ] || [ $ACTION = uninstall ] || wrong_usage "--keep-data and --purge-data go with --uninstall."
}

gather_answers() {
    if [ -n "$ANSWERS_GIVEN" ]; then
        read_answers "$ANSWERS_GIVEN"
    elif [ -f "$ANSWERS" ]; then
        read_answers "$ANSWERS"
    elif [ $ACTION = install ] && [ -z "$DRY_RUN" ]; then
        [ -t 0 ] || die "Nobody is at a terminal to be asked." "Give --answers FILE; begin with installer/answers.example."
        ask
    fi
}

check_box() {
    gather_answers
    preflight
    print_findings
    [ -z "$AS_JSON" ] || print_findings_json
    preflight_passed || exit 1
    say "This machine is fit."
}

# Every step, in the order of their dependence.
all_steps() {
    step users "Users and folders"
    [ -n "$DRY_RUN" ] || { keep_answers && keep_bundle_key; }
    step packages "Debian packages"
    step python "Release"
    step database "Postgres"
    step redis "Redis"
    step configuration "Settings"
    step freeswitch "FreeSWITCH"
    step models "Models"
    step engines "Engines"
    step units "Units"
    step migration "Tables"
    step firewall "Firewall"
    [ -n "$DRY_RUN" ] || confirm_firewall
    step fail2ban "fail2ban"
    step start "Start"
    step people "First person"
    step sample "Sample agent"
    step line "Line for its own calls"
    step backup "Key of backups"
    step ring "It rings itself"
}

install_box() {
    preflight
    if ! preflight_passed; then
        print_findings
        die "this machine is not fit yet" "Mend what is marked MUST above, and run install.sh again."
    fi
    settle_answers
    FINGERPRINT=$(release_fingerprint)
    if [ -n "$DRY_RUN" ]; then
        print_findings
        all_steps
        return
    fi
    one_at_a_time
    trap interrupted INT TERM HUP
    all_steps
    farewell
}

farewell() {
    local host=${ANSWER[CONSOLE_ADDRESS]}:${ANSWER[CONSOLE_PORT]}
    say ""
    if [ -s "$STATE/doctor.txt" ]; then
        say "What ivr doctor found:"
        sed 's/^/  /' "$STATE/doctor.txt"
    fi
    if [ -z "$NO_CALL" ]; then
        say "The call to itself:"
        sed 's/^/  /' "$STATE/call.txt"
    fi
    say ""
    say "Console:  https://$host"
    if [ -s "$FIRST_PASSWORD" ]; then
        say "Login:    ${ANSWER[ADMIN_LOGIN]}   password: $(cat "$FIRST_PASSWORD")   (shown this once; change it there)"
    fi
    tell_of_backups
    with_freeswitch || say "Without FreeSWITCH: 8 calls at once, telephones and a PBX of your networks, no carrier's trunk with a password, no transfer to people (docs/install.md)."
    say "Settings: $SETTINGS   Logs: journalctl -u 'ivr-*', $LOGS   Remove: install.sh --uninstall"
    rm -f "$FIRST_PASSWORD" "$BACKUP_IDENTITY" # shown by now
}

tell_of_backups() {
    if [ -s "$BACKUP_IDENTITY" ]; then
        say "Backups:  only whoever has this reads them. Keep it off this box, in two places; it is shown this once:"
        cat "$BACKUP_IDENTITY"
    elif ! backup_key_is_there; then
        say "Backups:  none are made before there is a key: ivr backup key   (it shows it once; keep it off this box)"
    elif [ -e "${ANSWER[BACKUP_KEY]}" ]; then
        say "Backups:  ${ANSWER[BACKUP_KEY]} reads them. Take it away from this box, to two places."
    fi
}

cleanup() {
    local path
    for path in "${CLEANUP[@]}"; do rm -rf "$path"; done
}

main() {
    parse "$@"
    trap cleanup EXIT
    case $ACTION in
        check) check_box ;;
        uninstall)
            [ "$(id -u)" = 0 ] || die "only root can remove the appliance" "sudo ./install.sh --uninstall"
            [ ! -f "$ANSWERS" ] || read_answers "$ANSWERS"
            fill_answers
            uninstall
            ;;
        install)
            [ "$(id -u)" = 0 ] || die "only root can install the appliance" "Say it again with sudo: sudo ./install.sh"
            [ -z "$OFFLINE" ] || open_bundle "$OFFLINE" "$KEY"
            gather_answers
            install_box
            ;;
    esac
}

main "$@"
