# shellcheck shell=bash
# Debian packages: what the appliance runs with. Offline they come from the bundle.

# Python and its venv; flite and espeak-ng speak in the default engines; the rest is for the box.
BASE_PACKAGES=(python3 python3-venv flite espeak-ng ca-certificates openssl iproute2 procps)
ENGINE_PACKAGES=(g++ python3-dev) # vLLM's kernels are compiled when it starts, KenLM when it is installed

packages_wanted() {
    printf '%s\n' "${BASE_PACKAGES[@]}"
    [ "${ANSWER[FIREWALL]}${ANSWER[FAIL2BAN]}" = nono ] || echo nftables
    [ "${ANSWER[FAIL2BAN]}" = no ] || printf '%s\n' fail2ban python3-systemd
    [ "$(redis_kind)" != package ] || echo redis-server
    [ "$(database_kind)" != package ] || pgvector_packages
    ! with_gpu || printf '%s\n' "${ENGINE_PACKAGES[@]}"
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

packages_missing() {
    local name
    for name in $(packages_wanted); do is_installed "$name" || echo "$name"; done
}

# What DATABASE=auto and REDIS=auto came to is decided once, of apt's lists when they are fresh, and kept:
# data do not go over by themselves to a server that apt offers later, or does not offer to a bundle.
kept_kind() { sed -n "s/^$1=//p" "$STATE/kinds" 2>/dev/null | grep .; }
kinds() { printf 'DATABASE=%s\nREDIS=%s\n' "$(database_kind)" "$(redis_kind)"; }

packages_done() { [ -z "$(packages_missing)" ] && [ "$(cat "$STATE/kinds" 2>/dev/null)" = "$(kinds)" ]; }

packages_do() {
    local missing
    update_lists || echo "note: apt's lists are as they were"
    kinds | write_file "$STATE/kinds" 600 root:root
    mapfile -t missing < <(packages_missing)
    [ ${#missing[@]} -gt 0 ] || return 0
    printf 'missing: %s\n' "${missing[*]}"
    # What this box did not have before us goes again with --uninstall, if it is asked to.
    printf '%s\n' "${missing[@]}" >>"$STATE/packages"
    install_packages "${missing[@]}"
    mapfile -t missing < <(packages_missing) # a bundle installs what it has
    [ ${#missing[@]} = 0 ] || {
        echo "these are missing still: ${missing[*]}"
        return 1
    }
}

# apt's own work is not undone: a package more harms nothing, and dpkg finishes what it has begun.
packages_undo() { dpkg --configure -a; }
packages_plan() {
    local missing
    missing=$(packages_missing | tr '\n' ' ')
    echo "${missing:-nothing is missing}"
}
packages_fix() { echo "see what apt-get says in the log; apt-get update && apt-get -f install mends most of it; a bundle wants every package that is missing (docs/supply-chain.md)."; }

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@"
}

# update_lists: apt's. An image of a machine has none before.
update_lists() {
    [ -z "${OFFLINE:-}" ] || return 0
    apt_get update && APT_UPDATED=1
}

# install_packages NAME...: from apt's sources, or from the bundle alone. What they bring does not
# start by itself before it is configured (policy-rc.d is asked by Debian's packages).
install_packages() {
    [ $# -gt 0 ] || return 0
    if [ -n "${OFFLINE:-}" ]; then
        offline_packages "$@"
    else
        [ -n "${APT_UPDATED:-}" ] || update_lists
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
    apt_get -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$empty" install -y \
        --no-install-recommends "$source"/*.deb
    rmdir "$empty"
}

# candidate NAME: the version that apt would install; nothing where it has none.
candidate() {
    local found
    found=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [ "$found" = "(none)" ] || printf '%s' "$found"
}
