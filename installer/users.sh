# shellcheck shell=bash
# The system user that runs everything of ours, and the folders.

# Whom and what the services need stands in the release's sysusers.d and tmpfiles.d; these are the
# installer's own.
users_folders() { # PATH MODE OWNER
    cat <<LIST
$OPT 755 root:root
$OPT/releases 755 root:root
$STATE 700 root:root
LIST
}

users_done() {
    local path mode owner
    id -u "$SERVICE_USER" >/dev/null 2>&1 || return 1
    while read -r path mode owner; do
        [ "$(stat -c '%a %U:%G' "$path" 2>/dev/null)" = "$mode $owner" ] || return 1
    done < <(users_folders && folders_of_service)
    cmp -s <(wrapper_text) "$WRAPPER"
}

# The same form, of tmpfiles.d's lines: d PATH MODE USER GROUP -
folders_of_service() { awk '$1 == "d" { sub(/^0/, "", $3); print $2, $3, $4 ":" $5 }' "$(source_root)/systemd/tmpfiles.d/ivr.conf"; }

users_do() {
    local path mode owner
    systemd-sysusers "$(source_root)/systemd/sysusers.d/ivr.conf"
    while read -r path mode owner; do folder "$path" "$mode" "$owner"; done < <(users_folders)
    systemd-tmpfiles --create "$(source_root)/systemd/tmpfiles.d/ivr.conf"
    wrapper_text | write_file "$WRAPPER" 755 root:root
}

# Nothing runs yet and an empty folder harms nobody: what is there is used by the next run.
users_undo() { :; }
users_plan() { echo "user $SERVICE_USER; $OPT, $ETC, $DATA, $BACKUPS, $LOGS, $WRAPPER"; }
users_fix() { echo "see the log; a full disk or a read-only /etc are the usual causes."; }

# `ivr` as everybody types it. root becomes the service's user, or files of root's would be left in
# its folders; the commands that set up the machine itself stay root's.
wrapper_text() {
    cat <<'TEXT'
#!/bin/sh
# Installed by install.sh: the release in force, with the settings of this box.
IVR_SETTINGS=${IVR_SETTINGS:-/etc/ivr/ivr.toml}
export IVR_SETTINGS
program=/opt/ivr/current/.venv/bin/ivr
if [ "$(id -u)" = 0 ]; then
    # Of these the first word decides, or the second after "switch".
    case "${1:-}/${2:-}" in
    firewall/* | upgrade/* | rollback/* | releases/* | bundle/* | backup/restore | doctor/* | switch/configure) ;;
    *)
        HOME=/var/lib/ivr
        export HOME
        [ -r . ] && runuser -u ivr -- test -x . || cd /
        exec runuser -u ivr -- "$program" "$@"
        ;;
    esac
fi
exec "$program" "$@"
TEXT
}
