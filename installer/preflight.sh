# shellcheck shell=bash
# Is this machine fit? Each judgement says what it found and, where that is not good, what to do.
# "must": the installation would fail or calls would break; "should": it works, less well.
# Nothing here changes anything, and nothing needs more than bash and coreutils.

# Figures of docs/install.md's sizing table.
LEAST_CPUS=2
GOOD_CPUS=4
LEAST_MEMORY_MB=3500  # a "4 GB" machine, less what firmware and kernel keep
GOOD_MEMORY_MB=7500
LEAST_DISK_MB=8000    # release, its predecessor, packages, a database that is still small
GOOD_DISK_MB=40000    # 90 days of recordings of 10 calls an hour: 1.9 MB a minute
LEAST_GPU_MB=20000    # recogniser, voice and a small language model, by `ivr models plan`
LEAST_DRIVER=580      # CUDA 13, which the locked PyTorch and vLLM are built for
ENGINES_DISK_MB=45000 # the engines' environments with CUDA's libraries, one of them built anew beside the old
MODELS_DISK_MB=60000  # recognisers, voices, two language models, an original that is converted

FINDINGS=() # LEVEL|STATE|CODE|WHAT|DO

# found STATE LEVEL CODE WHAT [DO]: STATE is good, bad or skipped.
found() { FINDINGS+=("$2"$'\x1f'"$1"$'\x1f'"$3"$'\x1f'"$4"$'\x1f'"${5:-}"); }

# graded CODE NUMBER LEAST GOOD ENOUGH  TOO_LITTLE DO  LITTLE DO: it must have LEAST and should have GOOD.
graded() {
    if [ "$2" -lt "$3" ]; then
        found bad must "$1" "$6" "$7"
    elif [ "$2" -lt "$4" ]; then
        found bad should "$1" "$8" "$9"
    else
        found good should "$1" "$5"
    fi
}

check_root() {
    if [ "$(id -u)" = 0 ]; then
        found good must root "runs as root"
    else
        found bad must root "does not run as root" "Say it again with sudo: sudo ./install.sh"
    fi
}

check_os() {
    local id version name
    id=$(os_fact ID) version=$(os_fact VERSION_ID) name=$(os_fact PRETTY_NAME)
    case "$id $version" in
        "debian 12") found good must os "$name" ;;
        "ubuntu 24.04")
            found good must os "$name"
            found bad should freeswitch-packages "SignalWire and mod_audio_stream have no packages for $name" \
                "Answer FREESWITCH=none, folder:… with packages of your own, or existing."
            ;;
        *) found bad must os "${name:-an unknown system} is none that this installer knows" \
            "Install Debian 12 (bookworm), or Ubuntu 24.04." ;;
    esac
}

check_architecture() {
    local machine
    machine=$(uname -m)
    if [ "$machine" = x86_64 ]; then
        found good must architecture "x86_64"
    else
        found bad must architecture "the processor is $machine; the packages are made for x86_64" \
            "Use a machine with an Intel or AMD processor."
    fi
}

check_kernel() {
    local release major minor
    release=$(uname -r)
    IFS=. read -r major minor _ <<<"$release"
    minor=${minor%%[!0-9]*}
    if [ "${major:-0}" -gt 5 ] || { [ "${major:-0}" = 5 ] && [ "${minor:-0}" -ge 10 ]; }; then
        found good must kernel "Linux $release"
    else
        found bad must kernel "Linux $release is older than 5.10: units and firewall need what came since" \
            "apt-get install linux-image-amd64 and start the machine again."
    fi
}

check_systemd() {
    if [ -d "$FACTS_ROOT/run/systemd/system" ]; then
        found good must systemd "systemd runs this machine"
    else
        found bad must systemd "systemd does not run this machine, so nothing would keep the services up" \
            "Install on a machine or VM that boots systemd, not into a chroot or a plain container."
    fi
}

check_cpu() {
    local count
    count=$(cpu_count)
    count=${count:-0}
    graded cpus "$count" $LEAST_CPUS $GOOD_CPUS "$count CPUs" \
        "$count CPU: call path and engines would starve each other" \
        "Give the VM at least $LEAST_CPUS CPUs; $GOOD_CPUS carry some 10 calls." \
        "$count CPUs: enough for a trial, some 4 calls at once" \
        "Give it $GOOD_CPUS or more; docs/install.md has the sizing table."
    if ! cpu_has sse4_2; then
        found bad must cpu-flags "the CPU shows no SSE4.2, which the engines' libraries are built for" \
            "In a VM: choose the CPU type \"host\" (Proxmox, libvirt: host-passthrough)."
    elif ! cpu_has avx2; then
        found bad should cpu-flags "the CPU shows no AVX2: the engines take several times as long" \
            "In a VM: choose the CPU type \"host\" (Proxmox, libvirt: host-passthrough; VMware: EVC off)."
    else
        found good should cpu-flags "AVX2"
    fi
}

check_memory() {
    local mb
    mb=$(memory_mb)
    mb=${mb:-0}
    graded memory "$mb" $LEAST_MEMORY_MB $GOOD_MEMORY_MB "$mb MB of memory" \
        "$mb MB of memory; the appliance at rest takes some 2500" "Give it 4 GB at least, 8 GB for more than a trial." \
        "$mb MB of memory: enough for a trial" "8 GB leave room for documents and peaks."
}

# disk_needed FOLDER: what the installation takes there that has not been taken yet.
disk_needed() {
    local more=0
    if [ "${ANSWER[PROFILE]:-}" = gpu ] && [ ! -d "$OPT/engines" ]; then
        if [ "$(disk_of /opt)" = "$(disk_of /var/lib)" ]; then
            more=$((ENGINES_DISK_MB + MODELS_DISK_MB))
        elif [ "$1" = /opt ]; then
            more=$ENGINES_DISK_MB
        else
            more=$MODELS_DISK_MB
        fi
    fi
    echo $((LEAST_DISK_MB + more))
}

check_disk() {
    local folder free options needed
    for folder in /opt /var/lib; do
        free=$(disk_free_mb "$folder")
        free=${free:-0} needed=$(disk_needed "$folder")
        graded disk "$free" "$needed" $((needed - LEAST_DISK_MB + GOOD_DISK_MB)) "$free MB free on $folder" \
            "$free MB are free on $folder; the installation needs $needed" \
            "Make room (apt-get clean, journalctl --vacuum-size=100M) or enlarge that file system." \
            "$free MB are free on $folder: recordings take 1.9 MB a minute of call" \
            "$GOOD_DISK_MB MB or more are better, or shorter retention (ivr.toml, [retention])."
        options=$(mount_options "$folder")
        if [[ ",$options," == *,noexec,* ]] && [ "$folder" = /opt ]; then
            found bad must noexec "$folder is mounted noexec: no program there could start" \
                "mount -o remount,exec $folder, and mend /etc/fstab."
        fi
    done
}

check_virtualisation() {
    local kind
    kind=$(virtualisation)
    case "$kind" in
        wsl) found bad must virtualisation "this is WSL, where nothing keeps services or the clock going" \
            "Use a VM of its own." ;;
        lxc | lxc-libvirt | systemd-nspawn | docker | podman | openvz | container-other)
            found bad should virtualisation "this is a container ($kind): clock, kernel and firewall are the host's" \
                "A VM (KVM, VMware, Hyper-V) or the bare machine is better for telephony." ;;
        "" | none) found good should virtualisation "no virtual machine" ;;
        *) found good should virtualisation "a virtual machine ($kind)" ;;
    esac
}

check_clock() {
    if clock_synchronised; then
        found good should clock "the clock is synchronised"
    else
        found bad should clock "the clock is not synchronised: logs, tokens and opening hours go by it" \
            "apt-get install systemd-timesyncd && timedatectl set-ntp true; offline: an NTP server of your network in /etc/systemd/timesyncd.conf."
    fi
}

check_names() {
    local host wrong=()
    if [ -n "${OFFLINE:-}" ]; then
        found skipped must dns "offline: no name is asked for"
        return
    fi
    if [ -n "${http_proxy:-}${https_proxy:-}${HTTPS_PROXY:-}" ]; then
        found skipped must dns "a proxy resolves names"
        return
    fi
    for host in "$(package_host)" "$(wheel_host)"; do
        [ -z "$host" ] || resolves "$host" || wrong+=("$host")
    done
    if [ ${#wrong[@]} = 0 ]; then
        found good must dns "names are resolved"
    else
        found bad must dns "these names are not resolved: ${wrong[*]}" \
            "Mend /etc/resolv.conf, name a proxy (https_proxy=…), or install with --offline BUNDLE."
    fi
}

# The hosts that packages come from, as apt and pip are set here.
package_host() {
    cat "$FACTS_ROOT"/etc/apt/sources.list "$FACTS_ROOT"/etc/apt/sources.list.d/* 2>/dev/null |
        sed -n 's|^[^#]*https\{0,1\}://\([^/: ]*\).*|\1|p' | head -n 1 || true
}
wheel_host() {
    local url=${PIP_INDEX_URL:-}
    [ -z "${WHEELS:-}${PACKAGES:-}" ] || return 0
    [ -n "$url" ] || url=$(sed -n 's/^ *index-url *= *//p' "$FACTS_ROOT/etc/pip.conf" 2>/dev/null | head -n 1 || true)
    url=${url:-https://pypi.org/simple}
    [[ $url == http* ]] || return 0
    url=${url#*://} url=${url##*@} url=${url%%/*}
    echo "${url%%:*}"
}

check_packages() {
    local held name ours=()
    if locked "$FACTS_ROOT/var/lib/dpkg/lock-frontend" || locked "$FACTS_ROOT/var/lib/dpkg/lock"; then
        found bad should apt-lock "another process is installing packages" \
            "The installer waits 5 minutes for it; unattended-upgrades ends by itself."
    fi
    if [ -n "$(half_installed)" ]; then
        found bad must dpkg "packages are half installed: $(half_installed)" "dpkg --configure -a && apt-get -f install"
    fi
    held=$(held_packages)
    for name in $held; do
        case $name in
            postgresql* | redis* | freeswitch* | mod-audio-stream | nftables | fail2ban | python3*) ours+=("$name") ;;
        esac
    done
    if [ ${#ours[@]} -gt 0 ]; then
        found bad should held "packages that the installer may need are held: ${ours[*]}" \
            "apt-mark unhold ${ours[*]}, if nothing else of yours depends on their version."
    else
        found good should packages "apt is ready"
    fi
}

check_gpu() {
    local line name memory driver level=should
    [[ ${ANSWER[PROFILE]:-} != gpu ]] || level=must
    line=$(nvidia_line)
    if [ -z "$line" ]; then
        if nvidia_present; then
            found bad $level gpu-driver "there is an NVIDIA GPU and no working driver" \
                "apt-get install linux-headers-amd64 nvidia-driver (Debian: component non-free), start again, look at nvidia-smi."
        elif [ $level = must ]; then
            found bad must gpu "PROFILE=gpu, and this machine shows no NVIDIA GPU" \
                "Pass the GPU through to the VM, or answer PROFILE=demo."
        else
            found good should gpu "no GPU: the engines for demos and tests will run"
        fi
        return
    fi
    IFS=, read -r name memory driver <<<"$line"
    memory=${memory// /} driver=${driver// /}
    if [ "${driver%%.*}" -lt $LEAST_DRIVER ] 2>/dev/null; then
        found bad $level gpu-driver "$name has driver $driver; the engines need $LEAST_DRIVER or newer" \
            "Install a newer NVIDIA driver and start again."
    elif [ "${memory:-0}" -lt $LEAST_GPU_MB ] 2>/dev/null; then
        found bad should gpu "$name has $memory MB: too little for a recogniser, a voice and a language model together" \
            "ivr models plan says what fits."
    else
        found good should gpu "$name, $memory MB, driver $driver"
    fi
}

# port_wanted: PROTOCOL PORT WHAT, of what will listen here.
ports_wanted() {
    printf '%s\n' "udp 5060 SIP" "tcp 5060 SIP" "tcp 7000 worker" "tcp $SPARE_PORT spare-worker" "tcp 7101 recogniser" "tcp 7102 recogniser" \
        "tcp 7201 voice" "tcp 7202 voice" "tcp 7301 end-of-turn" "tcp 7401 embeddings" \
        "tcp ${ANSWER[CONSOLE_PORT]:-7900} console"
    [ "${ANSWER[FREESWITCH]:-none}" = none ] ||
        printf '%s\n' "tcp 7700 call-control" "udp 5070 telephones" "tcp 5070 telephones" "tcp 8021 event-socket"
    [ "${ANSWER[DATABASE]:-auto}" = url ] || echo "tcp 7432 Postgres"
    [ "${ANSWER[REDIS]:-auto}" = url ] || echo "tcp 7379 Redis"
}

# is_ours PROCESS PID: a second run finds its own services there.
is_ours() {
    local unit
    unit=$(unit_of "$2")
    case "$unit" in ivr-* | redis-server@ivr.service) return 0 ;; freeswitch.service) [ "${ANSWER[FREESWITCH]:-none}" != none ] ;; *) return 1 ;; esac
}

check_ports() {
    local protocol port what address who pid taken=0 all
    all=$(listeners)
    while read -r protocol port what; do
        while read -r _ address who pid; do
            is_ours "$who" "$pid" && continue
            taken=1
            found bad must "port-$port" "$protocol port $port ($what) is taken by ${who:-another process} ($address)" \
                "$(port_remedy "$port" "$who")"
            break # udp on two addresses is one trouble
        done < <(awk -v p="$protocol" -v n="$port" '$1 == p && $2 ~ ":" n "$"' <<<"$all")
    done < <(ports_wanted)
    [ $taken = 1 ] || found good must ports "the ports are free"
}

port_remedy() {
    case $2 in
        asterisk | kamailio | opensips | freeswitch)
            echo "Two SIP servers cannot share port 5060: systemctl disable --now $2, or install on another machine." ;;
        apache2 | nginx | caddy | lighttpd)
            echo "systemctl disable --now $2, or another CONSOLE_PORT in the answers." ;;
        *) echo "Stop what listens there (ss -lntup | grep :$1), or give it another port." ;;
    esac
}

check_conflicts() {
    local unit
    for unit in asterisk kamailio opensips; do
        if active $unit; then
            found bad should conflict "$unit runs here, another SIP server" \
                "If it is no longer needed: systemctl disable --now $unit"
        fi
    done
    if active freeswitch && [ "${ANSWER[FREESWITCH]:-none}" = none ] && [ -n "${ANSWER[FREESWITCH]:-}" ]; then
        found bad should conflict "FreeSWITCH runs here, and the answers say FREESWITCH=none" "Answer FREESWITCH=existing."
    fi
    if active ufw || active firewalld; then
        found bad should firewall "another firewall (ufw or firewalld) is in force" \
            "Keep that one and answer FIREWALL=no, or disable it; two do not know of each other."
    fi
}

# An upgrade that goes on later, at boot or by hand, would put its own release over what is installed now.
check_upgrade() {
    [ ! -e "$FACTS_ROOT$OPT/upgrade.json" ] ||
        found bad must upgrade "an upgrade of this box is under way, or was cut short" \
            "ivr upgrade --resume goes on, ivr rollback goes back (journalctl -u ivr-upgrade-resume: the box may be at it)."
}

check_public_address() {
    local address=${ANSWER[PUBLIC_ADDRESS]:-}
    [ -n "$address" ] || return 0
    if own_address "$address"; then
        found good must address "$address is this machine's"
    else
        found bad must address "$address (PUBLIC_ADDRESS) is not an address of this machine" \
            "ip -4 addr shows those that are; behind NAT, what carriers see is EXTERNAL_ADDRESS."
    fi
}

preflight() {
    FINDINGS=()
    check_root
    check_os
    check_architecture
    check_kernel
    check_systemd
    check_cpu
    check_memory
    check_disk
    check_virtualisation
    check_clock
    check_names
    check_packages
    check_gpu
    check_ports
    check_conflicts
    check_upgrade
    check_public_address
}

# preflight_passed: whether nothing that must be is missing.
preflight_passed() {
    local finding
    for finding in "${FINDINGS[@]}"; do
        [[ $finding != must$'\x1f'bad$'\x1f'* ]] || return 1
    done
}

print_findings() {
    local finding level state code what remedy mark
    for finding in "${FINDINGS[@]}"; do
        IFS=$'\x1f' read -r level state code what remedy <<<"$finding"
        case $state.$level in good.*) mark="  ok     " ;; skipped.*) mark="  -      " ;; bad.must) mark="  MUST   " ;; *) mark="  should " ;; esac
        say "$mark$what"
        [ -z "$remedy" ] || say "         → $remedy"
    done
}

print_findings_json() {
    local finding level state code what remedy comma="" good=true
    preflight_passed || good=false
    printf '{"good": %s, "findings": [' "$good"
    for finding in "${FINDINGS[@]}"; do
        IFS=$'\x1f' read -r level state code what remedy <<<"$finding"
        printf '%s{"check": %s, "level": "%s", "state": "%s", "what": %s, "do": %s}' "$comma" \
            "$(json_text "$code")" "$level" "$state" "$(json_text "$what")" "$(json_text "$remedy")"
        comma=", "
    done
    printf ']}\n'
}
