# shellcheck shell=bash
# What the preflight reads of this machine, one function a fact. A fact that cannot be had is empty,
# never a failure. FACTS_ROOT is a folder of faked files, for the tests; programs are faked by PATH.

FACTS_ROOT=${FACTS_ROOT:-}

# os_fact NAME: a field of os-release.
os_fact() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "$FACTS_ROOT/etc/os-release" 2>/dev/null | head -n 1 || true; }

cpu_count() { grep -c '^processor' "$FACTS_ROOT/proc/cpuinfo" 2>/dev/null || true; }

# cpu_has FLAG
cpu_has() { grep -m 1 '^flags' "$FACTS_ROOT/proc/cpuinfo" 2>/dev/null | grep -qw "$1"; }

memory_mb() { awk '/^MemTotal:/ { print int($2 / 1024) }' "$FACTS_ROOT/proc/meminfo" 2>/dev/null || true; }

# disk_free_mb FOLDER: of the file system that it lies, or will lie, on.
disk_free_mb() {
    local folder=$1
    while [ ! -d "$folder" ] && [ "$folder" != / ]; do folder=$(dirname "$folder"); done
    df -Pm "$folder" 2>/dev/null | awk 'NR == 2 { print $4 }' || true
}

# disk_of FOLDER: which file system it is on.
disk_of() { stat -c %d "$1" 2>/dev/null || true; }

# mount_options FOLDER
mount_options() { findmnt -n -o OPTIONS --target "$1" 2>/dev/null || true; }

# listeners: PROTOCOL ADDRESS:PORT PROCESS(pid) of everything that listens.
listeners() {
    ss -H -lntup 2>/dev/null |
        awk '{ who = $7; sub(/^users:\(\("/, "", who); pid = who; sub(/".*/, "", who)
               if (!sub(/.*pid=/, "", pid)) pid = ""; sub(/,.*/, "", pid); print $1, $5, who, pid }' || true
}

# unit_of PID: the systemd unit that a process belongs to.
unit_of() { sed -n 's|.*/\([^/]*\.service\).*|\1|p' "$FACTS_ROOT/proc/$1/cgroup" 2>/dev/null | head -n 1 || true; }

clock_synchronised() { [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = yes ]; }

# resolves HOST
resolves() { timeout 10 getent hosts "$1" >/dev/null 2>&1; }

virtualisation() { systemd-detect-virt 2>/dev/null || true; } # it fails for "none", and says it

# locked FILE: whether another process holds a POSIX lock on it, as apt and dpkg do.
locked() {
    local inode
    inode=$(stat -c %i "$1" 2>/dev/null) || return 1
    grep -qE ":$inode +0 +EOF" "$FACTS_ROOT/proc/locks" 2>/dev/null
}

held_packages() { apt-mark showhold 2>/dev/null | tr '\n' ' ' || true; }

half_installed() { dpkg --audit 2>/dev/null | head -n 1 || true; }

nvidia_present() { grep -qi 0x10de "$FACTS_ROOT"/sys/bus/pci/devices/*/vendor 2>/dev/null; }

# nvidia_line: "NAME, MEMORY MiB, DRIVER" of the first GPU; empty without a working driver.
nvidia_line() {
    timeout 20 nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits \
        2>/dev/null | head -n 1 || true
}

# active UNIT
active() { systemctl is-active --quiet "$1" 2>/dev/null; }

# own_address A: whether A is an address of this machine.
own_address() { ip -o addr show 2>/dev/null | awk '{ sub(/\/.*/, "", $4); print $4 }' | grep -qxF "$1"; }

# first_address: the one that this machine reaches others by.
first_address() {
    local found
    found=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' || true)
    echo "${found:-127.0.0.1}"
}
