# shellcheck shell=bash disable=SC2153
# What the installer has to be told. Answers come from a file of NAME=value lines (never run as
# shell), from the last installation, or from the person at the terminal. No secret is among them:
# those stand in files of their own, which the answers name.

declare -A ANSWER
# Asked in this order: NAME, question. The default is default_of NAME.
QUESTIONS=(
    "PUBLIC_ADDRESS|This machine's IPv4 address for telephones and trunks"
    "EXTERNAL_ADDRESS|The address that carriers see, if this machine stands behind NAT (empty: the same)"
    "PHONE_NETWORKS|Networks of your telephones and PBX, which may call (10.0.0.0/8,192.168.0.0/16)"
    "TRUNK_NETWORKS|Networks of your carriers' SIP servers (198.51.100.0/28; empty: none yet)"
    "CONSOLE_NETWORKS|Networks of the people who open the console"
    "CONSOLE_ADDRESS|The address that the console listens on"
    "ADMIN_LOGIN|Login of the first person in the console"
    "PROFILE|Engines: demo (no GPU; for trials and tests) or gpu"
    "LANGUAGES|Languages that callers speak (en,hi,ta,…)"
    "FREESWITCH|FreeSWITCH: existing, signalwire (needs a token), folder:PATH of .deb files, or none"
)
# Beside those, for files: settings that most sites leave as they are.
OTHER_ANSWERS="CONSOLE_PORT CONSOLE_CERTIFICATE CONSOLE_KEY SIGNALWIRE_TOKEN_FILE DATABASE DATABASE_URL_FILE
    REDIS REDIS_URL_FILE FIREWALL FAIL2BAN GPU_CALLS TIMEZONE COUNTRY SAMPLE MODELS_FOLDER
    AUDIO_STREAM_REPOSITORY AUDIO_STREAM_KEY BACKUP_KEY"

with_gpu() { [ "${ANSWER[PROFILE]:-}" = gpu ]; }

default_of() {
    case $1 in
        PUBLIC_ADDRESS) first_address ;;
        PHONE_NETWORKS) echo "127.0.0.0/8" ;;
        CONSOLE_NETWORKS) echo "${ANSWER[PHONE_NETWORKS]:-}" ;;
        CONSOLE_ADDRESS) echo "${ANSWER[PUBLIC_ADDRESS]:-127.0.0.1}" ;;
        CONSOLE_PORT) echo 7900 ;;
        ADMIN_LOGIN) echo admin ;;
        PROFILE) if [ -n "$(nvidia_line)" ]; then echo gpu; else echo demo; fi ;;
        LANGUAGES) echo en ;;
        FREESWITCH) if have freeswitch; then echo existing; else echo none; fi ;;
        DATABASE | REDIS) echo auto ;;
        FIREWALL | FAIL2BAN | SAMPLE) echo yes ;;
        GPU_CALLS) echo 10 ;;
    esac
}

is_question() {
    local entry
    for entry in "${QUESTIONS[@]}"; do [ "${entry%%|*}" != "$1" ] || return 0; done
    [[ " ${OTHER_ANSWERS//$'\n'/ } " == *" $1 "* ]]
}

# read_answers FILE
read_answers() {
    local file=$1 line name number=0
    [ -r "$file" ] || die "There is no answers file $file that can be read." "Begin with installer/answers.example."
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        line=${line%$'\r'}
        [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
        [[ $line =~ ^([A-Z_0-9]+)=(.*)$ ]] ||
            die "$file, line $number is neither NAME=value nor a # comment." "Write it as in installer/answers.example."
        name=${BASH_REMATCH[1]}
        is_question "$name" || die "$file, line $number: there is no answer $name." "installer/answers.example has them all."
        line=${BASH_REMATCH[2]}
        line=${line%"${line##*[![:space:]]}"}
        if [[ $line =~ ^\"(.*)\"$ || $line =~ ^\'(.*)\'$ ]]; then line=${BASH_REMATCH[1]}; fi
        ANSWER[$name]=$line
    done <"$file"
}

# ask: each question once, until its answer is good; Enter takes what stands in brackets.
ask() {
    local entry name default given
    say "A few questions; Enter takes what stands in brackets."
    for entry in "${QUESTIONS[@]}"; do
        name=${entry%%|*}
        default=${ANSWER[$name]:-$(default_of "$name")}
        while :; do
            printf '%s\n  [%s] ' "${entry#*|}" "$default"
            IFS= read -r given || die "Nobody answers." "Run it at a terminal, or with --answers FILE."
            ANSWER[$name]=${given:-$default}
            if given=$(answer_trouble "$name"); then break; fi
            printf '  %s\n' "$given"
        done
    done
    [ "${ANSWER[FREESWITCH]}" != signalwire ] || [ -n "${SIGNALWIRE_TOKEN:-}${ANSWER[SIGNALWIRE_TOKEN_FILE]:-}" ] ||
        ask_for_token_file
}

ask_for_token_file() {
    printf 'File that holds the SignalWire token (one line; chmod 600)\n  [] '
    IFS= read -r given && ANSWER[SIGNALWIRE_TOKEN_FILE]=$given
}

fill_answers() {
    local entry name
    for entry in "${QUESTIONS[@]}"; do
        name=${entry%%|*}
        [ -n "${ANSWER[$name]+given}" ] || ANSWER[$name]=$(default_of "$name")
    done
    for name in $OTHER_ANSWERS; do
        [ -n "${ANSWER[$name]+given}" ] || ANSWER[$name]=$(default_of "$name")
    done
}

is_address() {
    local part parts
    [[ $1 =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || return 1
    IFS=. read -ra parts <<<"$1"
    for part in "${parts[@]}"; do [ "$((10#$part))" -le 255 ] || return 1; done
}

is_network() {
    local bits=${1#*/}
    is_address "${1%/*}" && { [ "$1" = "${1%/*}" ] || { [[ $bits =~ ^[0-9]{1,2}$ ]] && [ "$bits" -le 32 ]; }; }
}

is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le 65535 ]; }

# answer_trouble NAME: status 0 when its answer can be used; else what is wrong with it, on stdout.
answer_trouble() {
    local name=$1 value=${ANSWER[$1]:-} network networks
    case $name in
        PUBLIC_ADDRESS | CONSOLE_ADDRESS)
            is_address "$value" || { echo "$name=$value is no IPv4 address."; return 1; } ;;
        EXTERNAL_ADDRESS)
            [ -z "$value" ] || is_address "$value" || { echo "$name=$value is no IPv4 address."; return 1; } ;;
        PHONE_NETWORKS | TRUNK_NETWORKS | CONSOLE_NETWORKS)
            IFS=', ' read -ra networks <<<"$value"
            for network in "${networks[@]}"; do
                is_network "$network" || { echo "$name: $network is no network such as 192.168.1.0/24."; return 1; }
                [[ $network != */0 ]] || { echo "$name: $network is the whole internet, which would call for free."; return 1; }
            done ;;
        ADMIN_LOGIN)
            [[ $value =~ ^[a-z0-9][a-z0-9._@+-]{1,63}$ ]] ||
                { echo "$name=$value: 2 to 64 of a-z, digits and . _ @ + -, beginning with one of the first two."; return 1; } ;;
        PROFILE) one_of "$name" demo gpu ;;
        LANGUAGES) [[ $value =~ ^[a-z]{2,3}(,[a-z]{2,3})*$ ]] || { echo "$name=$value: codes such as en,hi."; return 1; } ;;
        FREESWITCH)
            case $value in
                existing | signalwire | none) ;;
                folder:/*)
                    compgen -G "${value#folder:}/*.deb" >/dev/null || { echo "There is no .deb file in ${value#folder:}."; return 1; } ;;
                *) echo "$name=$value: existing, signalwire, folder:/PATH or none."; return 1 ;;
            esac ;;
        CONSOLE_PORT) is_port "$value" || { echo "$name=$value is no port."; return 1; } ;;
        DATABASE) one_of "$name" auto embedded package url ;;
        REDIS) one_of "$name" auto embedded package url ;;
        FIREWALL | FAIL2BAN | SAMPLE) one_of "$name" yes no ;;
        GPU_CALLS) [[ $value =~ ^[0-9]{1,4}$ ]] || { echo "$name=$value is no number of calls."; return 1; } ;;
        COUNTRY) [[ $value =~ ^([A-Z]{2})?$ ]] || { echo "$name=$value: two letters, such as IN."; return 1; } ;;
        TIMEZONE) [ -z "$value" ] || [ -f "/usr/share/zoneinfo/$value" ] || { echo "$name=$value is no time zone such as Asia/Kolkata."; return 1; } ;;
        CONSOLE_CERTIFICATE | CONSOLE_KEY | AUDIO_STREAM_KEY | SIGNALWIRE_TOKEN_FILE | DATABASE_URL_FILE | REDIS_URL_FILE)
            [ -z "$value" ] || [ -s "$value" ] || { echo "$name: there is nothing in $value."; return 1; } ;;
        BACKUP_KEY) backup_key_trouble "$value" ;;
        MODELS_FOLDER) [ -z "$value" ] || [ -d "$value" ] || { echo "$name: there is no folder $value."; return 1; } ;;
    esac
}

backup_key_is_there() { [ -s "$DATA/backup/recipient" ] || grep -qs '^recipients *=' "$SETTINGS"; }

# backup_key_trouble VALUE: yes, or a new file on something that leaves this box.
backup_key_trouble() {
    case $1 in
        "" | yes) return 0 ;;
        "$DATA"/* | "$ETC"/* | "$BACKUPS"/* | "$OPT"/*)
            echo "BACKUP_KEY=$1: the key that reads backups must not stay on this box: a file on a USB disk, or yes." ;;
        /*)
            [ ! -e "$1" ] || backup_key_is_there || { echo "BACKUP_KEY: $1 is there already."; return 1; }
            [ ! -d "$(dirname "$1")" ] && ! backup_key_is_there || return 0
            echo "BACKUP_KEY: there is no folder $(dirname "$1")." ;;
        *) echo "BACKUP_KEY=$1: yes, or a file such as /media/usb/ivr-backup-identity.txt." ;;
    esac
    return 1
}

# one_of NAME CHOICES...
one_of() {
    local name=$1 choice
    shift
    for choice in "$@"; do [ "${ANSWER[$name]}" != "$choice" ] || return 0; done
    echo "$name=${ANSWER[$name]}: one of $*."
    return 1
}

# settle_answers: what is missing is filled in; everything that is wrong is said at once.
settle_answers() {
    local name said troubles=()
    fill_answers
    for name in "${!ANSWER[@]}"; do
        said=$(answer_trouble "$name") || troubles+=("$said")
    done
    [ "${ANSWER[FREESWITCH]}" != existing ] || have freeswitch ||
        troubles+=("FREESWITCH=existing, and there is no freeswitch on PATH.")
    [ "${ANSWER[FREESWITCH]}" != signalwire ] || have freeswitch || [ -n "${OFFLINE:-}" ] ||
        [ -n "${SIGNALWIRE_TOKEN:-}${ANSWER[SIGNALWIRE_TOKEN_FILE]}" ] ||
        troubles+=("FREESWITCH=signalwire needs a token: SIGNALWIRE_TOKEN_FILE=/root/token, or SIGNALWIRE_TOKEN in the environment.")
    [ "${ANSWER[FREESWITCH]}" != signalwire ] || have freeswitch || [ -n "${OFFLINE:-}${ANSWER[AUDIO_STREAM_REPOSITORY]}" ] ||
        troubles+=("FREESWITCH=signalwire needs mod_audio_stream too: AUDIO_STREAM_REPOSITORY (the vendor's \"https://… bookworm main\") and AUDIO_STREAM_KEY (its key file), or FREESWITCH=folder:… with all packages.")
    [ "${ANSWER[DATABASE]}" != url ] || [ -n "${ANSWER[DATABASE_URL_FILE]}" ] || [ -f "$SETTINGS" ] ||
        troubles+=("DATABASE=url needs DATABASE_URL_FILE, a file with postgresql://user:password@host/name.")
    [ "${ANSWER[REDIS]}" != url ] || [ -n "${ANSWER[REDIS_URL_FILE]}" ] || [ -f "$SETTINGS" ] ||
        troubles+=("REDIS=url needs REDIS_URL_FILE, a file with redis://:password@host/0.")
    [ -n "${ANSWER[CONSOLE_CERTIFICATE]}" ] && [ -z "${ANSWER[CONSOLE_KEY]}" ] &&
        troubles+=("CONSOLE_CERTIFICATE needs CONSOLE_KEY, its private key.")
    [ ${#troubles[@]} = 0 ] || die "The answers cannot be used: ${troubles[*]}" "Mend them and run install.sh again."
}

# keep_answers: what was said, for the next run. Paths of secrets, never secrets.
keep_answers() {
    local name
    {
        echo "# What install.sh was told. It takes these when it runs again without --answers."
        for name in $(printf '%s\n' "${!ANSWER[@]}" | sort); do printf '%s=%s\n' "$name" "${ANSWER[$name]}"; done
    } | write_file "$ANSWERS" 644 root:root
}
