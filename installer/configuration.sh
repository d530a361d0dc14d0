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

unique() { tr ',' '\n' <<<"${1// /,}" | awk 'NF && !seen[$0]++' | paste -sd , -; }

configuration_done() {
    [ "$(stat -c '%a %U:%G' "$SETTINGS" 2>/dev/null)" = "640 root:$SERVICE_USER" ] &&
        settings_wanted | python3 "$PARTS/merge.py" --check "$SETTINGS" "$MEMORY" && certificate_done
}

configuration_do() {
    if [ -f "$SETTINGS" ]; then
        cp -a "$SETTINGS" "$STATE/ivr.toml.$(date +%Y%m%d-%H%M%S)"
    fi
    [ ! -f "$SETTINGS" ] || cp -a "$SETTINGS" "$STATE/ivr.toml.before"
    settings_wanted | python3 "$PARTS/merge.py" "$SETTINGS" "$MEMORY"
    chown root:"$SERVICE_USER" "$SETTINGS"
    chmod 640 "$SETTINGS"
    certificate_do
    # A setting that is wrong is said now, with its name, not by a service that does not start.
    runuser -u "$SERVICE_USER" -- env "${IVR_ENVIRONMENT[@]}" "$CURRENT/.venv/bin/python" -c '
import sys
from appliance.errors import UserError
from appliance.settings import load
try:
    load()
except UserError as e:
    sys.exit(str(e))'
    rm -f "$STATE/ivr.toml.before"
}

configuration_undo() {
    if [ -f "$STATE/ivr.toml.before" ]; then mv -f "$STATE/ivr.toml.before" "$SETTINGS"; fi
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
