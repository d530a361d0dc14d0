# shellcheck shell=bash
# Debian packages: what the appliance runs with. Offline they come from the bundle.

# Python and its venv; flite and espeak-ng speak in the default engines; the rest is for the box.
BASE_PACKAGES=(python3 python3-venv flite espeak-ng ca-certificates openssl iproute2 procps)

packages_wanted() {
    printf '%s\n' "${BASE_PACKAGES[@]}"
    [ "${ANSWER[FIREWALL]}${ANSWER[FAIL2BAN]}" = nono ] || echo nftables
    [ "${ANSWER[FAIL2BAN]}" = no ] || printf '%s\n' fail2ban python3-systemd
    [ "$(redis_kind)" != package ] || echo redis-server
    [ "$(database_kind)" != package ] || pgvector_packages
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

packages_missing() {
    local name
    for name in $(packages_wanted); do is_installed "$name" || echo "$name"; done
}

packages_done() { [ -z "$(packages_missing)" ]; }

packages_do() {
    local missing
    mapfile -t missing < <(packages_missing)
    printf 'missing: %s\n' "${missing[*]}"
    # What this box did not have before us goes again with --uninstall, if it is asked to.
    printf '%s\n' "${missing[@]}" >>"$STATE/packages"
    install_packages "${missing[@]}"
}

# apt's own work is not undone: a package more harms nothing, and dpkg finishes what it has begun.
packages_undo() { dpkg --configure -a; }
packages_plan() {
    local missing
    missing=$(packages_missing | tr '\n' ' ')
    echo "${missing:-nothing is missing}"
}
packages_fix() { echo "see what apt-get says in the log; apt-get update && apt-get -f install mends most of it."; }

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@"
}

# install_packages NAME...: from apt's sources, or from the bundle alone. What they bring does not
# start by itself before it is configured (policy-rc.d is asked by Debian's packages).
install_packages() {
    [ $# -gt 0 ] || return 0
    if [ -n "${OFFLINE:-}" ]; then
        offline_packages "$@"
    else
        [ -n "${APT_UPDATED:-}" ] || apt_get update
        APT_UPDATED=1
        apt_get install -y --no-install-recommends "$@"
    fi
}

# offline_packages NAME...: the bundle's .deb files as a source of their own; apt finds the order.
offline_packages() {
    local source=$BUNDLE/debs empty
    compgen -G "$source/*.deb" >/dev/null || {
        echo "the bundle has no Debian packages, and these are missing: $*"
        return 1
    }
    empty=$(mktemp -d)
    apt_get -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$empty" install -y --no-download \
        --no-install-recommends "$source"/*.deb
    rmdir "$empty"
}

# candidate NAME: the version that apt would install; nothing where it has none.
candidate() {
    local found
    found=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [ "$found" = "(none)" ] || printf '%s' "$found"
}
