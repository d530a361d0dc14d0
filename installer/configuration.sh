# shellcheck shell=bash disable=SC2153
# ivr.toml, and the certificate of the console. The installer writes what it was told and owns; what
# a person edits afterwards stays (merge.py).

MEMORY=$STATE/settings.json

toml_list() { # A,B → ["A", "B"]
    local part parts text=""
    IFS=', ' read -ra parts <<<"$1"
    for part in "${parts[@]}"; do [ -z "$part" ] || text+="${text:+, }$(json_text "$part")"; done
    printf '[%s]' "$text"
}

# setting NAME VALUE: one line for merge.py, where there is a value.
setting() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$(json_text "$2")"; }

settings_wanted() {
    local own=${ANSWER[PUBLIC_ADDRESS]}
    setting data_dir "$DATA"
    printf 'worker.spare_port\t%s\n' "$SPARE_PORT" # for `ivr upgrade`
    setting database.url "$(database_setting)"
    setting redis.url "$(redis_setting)"
    setting sip.host "$own"
    # The box rings itself: its own addresses may call.
    printf 'sip.allow\t%s\n' "$(toml_list "$(unique "127.0.0.0/8,$own/32,${ANSWER[PHONE_NETWORKS]},${ANSWER[TRUNK_NETWORKS]}")")"
    printf 'sip.trunks\t%s\n' "$(toml_list "${ANSWER[TRUNK_NETWORKS]}")"
    setting switch.country "${ANSWER[COUNTRY]}"
    setting switch.timezone "${ANSWER[TIMEZONE]}"
    setting backup.target "$BACKUPS"
    setting admin.host "${ANSWER[CONSOLE_ADDRESS]}"
    printf 'admin.port\t%s\n' "${ANSWER[CONSOLE_PORT]}"
    if [ -n "${ANSWER[CONSOLE_CERTIFICATE]}" ]; then
        setting admin.certificate "$ETC/console.pem"
        setting admin.key "$ETC/console.key"
    fi
    firewall_settings
}

# urls_of_ours: options of merge.py. The embedded servers have no URL; that of a package's goes with it.
urls_of_ours() {
    [ "$(database_kind)" != embedded ] || printf '%s\n' --all-of database.url
    [ "$(redis_kind)" != embedded ] || printf '%s\n' --all-of redis.url
}

unique() { tr ',' '\n' <<<"${1// /,}" | awk 'NF && !seen[$0]++' | paste -sd , -; }

# ivr.toml.before: a run was killed over a change, and nobody has seen whether the file is good. Left there,
# it would come back over what a person has written since, as soon as a later step fails.
# shellcheck disable=SC2046  # words
configuration_done() {
    [ ! -e "$STATE/ivr.toml.before" ] && [ "$(stat -c '%a %U:%G' "$SETTINGS" 2>/dev/null)" = "640 root:$SERVICE_USER" ] &&
        settings_wanted | python3 "$PARTS/merge.py" --check $(urls_of_ours) "$SETTINGS" "$MEMORY" && certificate_done &&
        [ -s "$DATA/secrets/engines" ] && [ -s "$DATA/secrets/metrics" ]
}

configuration_do() {
    certificate_do
    # shellcheck disable=SC2046  # words
    settings_wanted | change_settings $(urls_of_ours)
}

# change_settings [OPTIONS] <LINES of merge.py: kept only when the whole file is good.
change_settings() {
    if [ -f "$SETTINGS" ]; then
        [ ! -f "$MEMORY" ] || cp -a "$MEMORY" "$MEMORY.before"
        cp -a "$SETTINGS" "$STATE/ivr.toml.$(date +%Y%m%d-%H%M%S)"
        cp -a "$SETTINGS" "$STATE/ivr.toml.before"
    fi
    python3 "$PARTS/merge.py" "$@" "$SETTINGS" "$MEMORY"
    chown root:"$SERVICE_USER" "$SETTINGS"
    chmod 640 "$SETTINGS"
    # A setting that is wrong is said now, with its name, not by a service that does not start.
    runuser -u "$SERVICE_USER" -- env "${IVR_ENVIRONMENT[@]}" "$CURRENT/.venv/bin/python" -c '
import sys
from appliance.errors import UserError
from appliance.settings import load
try:
    load()
except UserError as e:
    sys.exit(str(e))'
    make_secrets
    rm -f "$STATE/ivr.toml.before" "$MEMORY.before"
}

# make_secrets: by the service's user, before root's commands would make them; and before units start that
# see the one that they need, and cannot make it.
make_secrets() {
    runuser -u "$SERVICE_USER" -- env "${IVR_ENVIRONMENT[@]}" "$CURRENT/.venv/bin/python" -c '
from appliance import settings as known
settings = known.load()
for name in (known.ENGINES_SECRET, known.EVENT_SOCKET_SECRET, known.MEDIA_SECRET, known.METRICS_SECRET,
             known.REDIS_SECRET, known.SWITCH_SECRET):
    settings.secret(name)'
}

configuration_undo() { settings_undo; }
# With what was remembered of it: else the old values would pass for edits of a person's, and stay.
settings_undo() {
    [ -f "$STATE/ivr.toml.before" ] || return 0
    if [ -f "$MEMORY.before" ]; then mv -f "$MEMORY.before" "$MEMORY"; else rm -f "$MEMORY"; fi
    mv -f "$STATE/ivr.toml.before" "$SETTINGS"
}
configuration_plan() { echo "$SETTINGS; your edits stay, the file as it was goes to $STATE"; }
configuration_fix() { echo "mend the setting that the log names, in $SETTINGS or in the answers."; }

# Given certificate and key are copied; without, the console makes a self-signed one itself.
certificate_done() {
    [ -z "${ANSWER[CONSOLE_CERTIFICATE]}" ] || { same_file "${ANSWER[CONSOLE_CERTIFICATE]}" "$ETC/console.pem" &&
        same_file "${ANSWER[CONSOLE_KEY]}" "$ETC/console.key"; }
}

certificate_do() {
    local certificate=${ANSWER[CONSOLE_CERTIFICATE]} key=${ANSWER[CONSOLE_KEY]}
    [ -n "$certificate" ] || return 0
    if ! cmp -s <(openssl x509 -in "$certificate" -noout -pubkey) <(openssl pkey -in "$key" -pubout); then
        echo "$key is not the key of $certificate"
        return 1
    fi
    openssl x509 -in "$certificate" -noout -checkend 0 || {
        echo "$certificate has expired"
        return 1
    }
    write_file "$ETC/console.pem" 640 root:"$SERVICE_USER" <"$certificate"
    write_file "$ETC/console.key" 640 root:"$SERVICE_USER" <"$key"
}
