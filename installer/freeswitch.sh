# shellcheck shell=bash
# FreeSWITCH with mod_audio_stream: the one that is here, SignalWire's packages (their repository
# wants a token), a folder of .deb files, or none: then `ivr sip` answers.

SIGNALWIRE=https://freeswitch.signalwire.com/repo/deb/debian-release
SIGNALWIRE_KEY=/usr/share/keyrings/signalwire-freeswitch-repo.gpg
FREESWITCH_CONF=/etc/freeswitch
AUDIO_STREAM_VERSION=1.0.0-3
# What freeswitch-conf/autoload_configs/modules.conf.xml loads.
FREESWITCH_PACKAGES=(freeswitch freeswitch-mod-logfile freeswitch-mod-event-socket freeswitch-mod-commands
    freeswitch-mod-dptools freeswitch-mod-dialplan-xml freeswitch-mod-spandsp freeswitch-mod-opus
    freeswitch-mod-sndfile freeswitch-mod-tone-stream freeswitch-mod-sofia freeswitch-systemd)

with_freeswitch() { [ "${ANSWER[FREESWITCH]}" != none ]; }

freeswitch_done() {
    with_freeswitch || return 0
    have freeswitch && [ -f "$FREESWITCH_CONF/site/vars.xml" ] &&
        same_file "$CURRENT/share/freeswitch-conf/freeswitch.xml" "$FREESWITCH_CONF/freeswitch.xml" &&
        [ "$(cat "$STATE/freeswitch.told" 2>/dev/null)" = "$(freeswitch_told)" ]
}

# What the configuration was made from: another answer or release makes it again.
freeswitch_told() {
    echo "${ANSWER[PUBLIC_ADDRESS]} ${ANSWER[EXTERNAL_ADDRESS]} $(readlink "$CURRENT")"
}

freeswitch_do() {
    have freeswitch || install_freeswitch
    have freeswitch || {
        echo "the packages were installed, and there is no freeswitch on PATH"
        return 1
    }
    audio_stream_there || echo "note: mod_audio_stream.so was not found: calls will have no agent until it is installed"
    put_foreign_configuration_aside
    share_recordings
    local options=(--address "${ANSWER[PUBLIC_ADDRESS]}")
    [ -z "${ANSWER[EXTERNAL_ADDRESS]}" ] || options+=(--external-address "${ANSWER[EXTERNAL_ADDRESS]}")
    ! getent group freeswitch >/dev/null || options+=(--group freeswitch)
    root_ivr switch configure "$FREESWITCH_CONF" "${options[@]}"
    # `ivr switch` writes trunks and telephones there, FreeSWITCH reads them.
    chown -R "$SERVICE_USER" "$FREESWITCH_CONF/site"
    freeswitch_told >"$STATE/freeswitch.told"
}

install_freeswitch() {
    case ${ANSWER[FREESWITCH]} in
        folder:*) install_debs "${ANSWER[FREESWITCH]#folder:}" ;;
        signalwire) if [ -n "${OFFLINE:-}" ]; then install_packages freeswitch; else install_signalwire; fi ;;
    esac
}

# install_debs FOLDER: with what they depend on from apt's sources, where those can be reached.
install_debs() {
    local before=() file
    for file in "$1"/*.deb; do before+=("$(dpkg-deb -f "$file" Package)"); done
    printf '%s\n' "${before[@]}" >>"$STATE/packages"
    apt_get install -y --no-install-recommends "$1"/*.deb
}

install_signalwire() {
    local token=${SIGNALWIRE_TOKEN:-}
    [ -n "$token" ] || token=$(head -n 1 "${ANSWER[SIGNALWIRE_TOKEN_FILE]}")
    install_packages curl
    # The token is needed for updates too; apt keeps such in files of root's.
    (umask 077 && printf 'machine freeswitch.signalwire.com login signalwire password %s\n' "$token" >/etc/apt/auth.conf.d/freeswitch.conf)
    curl --fail --silent --show-error --netrc-file /etc/apt/auth.conf.d/freeswitch.conf -o $SIGNALWIRE_KEY $SIGNALWIRE/signalwire-freeswitch-repo.gpg
    echo "deb [signed-by=$SIGNALWIRE_KEY] $SIGNALWIRE/ bookworm main" >/etc/apt/sources.list.d/freeswitch.list
    if [ -n "${ANSWER[AUDIO_STREAM_REPOSITORY]}" ]; then
        install -m 644 "${ANSWER[AUDIO_STREAM_KEY]}" /usr/share/keyrings/mod-audio-stream.gpg
        echo "deb [signed-by=/usr/share/keyrings/mod-audio-stream.gpg] ${ANSWER[AUDIO_STREAM_REPOSITORY]}" >/etc/apt/sources.list.d/mod-audio-stream.list
    fi
    apt_get update
    printf '%s\n' "${FREESWITCH_PACKAGES[@]}" mod-audio-stream >>"$STATE/packages"
    apt_get install -y --no-install-recommends "${FREESWITCH_PACKAGES[@]}" "mod-audio-stream=$AUDIO_STREAM_VERSION"
}

audio_stream_there() { [ -n "$(find /usr/lib/freeswitch /usr/local/freeswitch -name mod_audio_stream.so -print -quit 2>/dev/null)" ]; }

# Another configuration is moved aside once, whole, and said; ours is renewed in place.
put_foreign_configuration_aside() {
    [ -d "$FREESWITCH_CONF" ] && [ ! -f "$FREESWITCH_CONF/site/vars.xml" ] || return 0
    local kept
    kept=$FREESWITCH_CONF.before-ivr.$(date +%Y%m%d-%H%M%S)
    printf '%s\n' "$kept" >>"$STATE/freeswitch.kept" # first: killed between the two, it is still given back
    mv "$FREESWITCH_CONF" "$kept"
    echo "FreeSWITCH's configuration as it was: $kept"
}

# FreeSWITCH records where the appliance reads: a group in common.
share_recordings() {
    ! getent passwd freeswitch >/dev/null || usermod -aG "$SERVICE_USER" freeswitch
    install -d -m 2770 -o "$SERVICE_USER" -g "$SERVICE_USER" "$DATA/recordings" "$DATA/announcements"
}

freeswitch_undo() {
    local kept
    kept=$(tail -n 1 "$STATE/freeswitch.kept" 2>/dev/null)
    if [ -n "$kept" ] && [ -d "$kept" ] && [ ! -f "$STATE/freeswitch.told" ]; then
        rm -rf $FREESWITCH_CONF
        mv "$kept" $FREESWITCH_CONF
        sed -i '$d' "$STATE/freeswitch.kept"
    fi
}

freeswitch_plan() {
    if ! with_freeswitch; then
        echo "none: \`ivr sip\` answers (8 calls at once, no trunks with passwords, no queues or transfers to people)"
    elif have freeswitch; then
        echo "the one that is here; its configuration is moved aside once"
    else
        echo "from ${ANSWER[FREESWITCH]}"
    fi
}
freeswitch_fix() {
    echo "401 from freeswitch.signalwire.com: the token is wrong; a missing dependency: put its .deb into the folder;" \
        "FREESWITCH=none runs the box without it."
}
