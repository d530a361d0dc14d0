# shellcheck shell=bash
# The first person of the console, whose password is shown once and kept no longer; the sample agent; the
# line by which the box rings itself; the key that reads its backups.

people_done() { ivr users list --json | tail -n 1 | grep -q '"role":"operator"'; }

people_do() {
    (umask 077 && random_password >"$FIRST_PASSWORD") # first: killed after the next line, it is still known
    ivr users create "${ANSWER[ADMIN_LOGIN]}" --role operator --password-stdin <"$FIRST_PASSWORD" # no argument shows it
}

people_undo() { people_done || rm -f "$FIRST_PASSWORD"; }
people_plan() { echo "${ANSWER[ADMIN_LOGIN]}, operator, if the console has nobody yet"; }
people_fix() { echo "ivr users create ${ANSWER[ADMIN_LOGIN]} --role operator"; }

sample_done() { [ "${ANSWER[SAMPLE]}" = no ] || [ -f "$STATE/seeded" ]; }
sample_do() {
    ivr seed
    touch "$STATE/seeded"
}
sample_undo() { :; }
sample_plan() { if [ "${ANSWER[SAMPLE]}" = yes ]; then echo "a sample agent answers every number, if none is set"; else echo "left out"; fi; }
sample_fix() { echo "systemctl status ivr-pools (it embeds the sample's knowledge); then ivr seed."; }

# FreeSWITCH takes calls of its trunks alone: this machine becomes one, so that `ivr doctor --call` tries
# that way in too. Calls out never go there while there is another trunk.
# Once for an address: who removes the trunk is not given it again.
line_done() { ! with_freeswitch || [ "$(cat "$STATE/line" 2>/dev/null)" = "${ANSWER[PUBLIC_ADDRESS]}" ]; }
line_do() {
    local address=${ANSWER[PUBLIC_ADDRESS]}
    local fields=(doctor --proxy "$address:5999" --no-register --address "$address/32" --ping 0 --priority 1000)
    ivr trunks change "${fields[@]}" || ivr trunks add "${fields[@]}"
    printf '%s\n' "$address" >"$STATE/line"
}
line_undo() { :; }
line_plan() { if with_freeswitch; then echo "a trunk \"doctor\" of this machine alone, for its calls to itself"; else echo "not needed without FreeSWITCH"; fi; }
line_fix() { echo "systemctl status ivr-switch; then ivr trunks add doctor …, as ivr doctor --call says."; }

# Backups can be read by whoever holds the identity, which must not stay on this box.
backup_identity_file() { if [ "${ANSWER[BACKUP_KEY]}" = yes ]; then echo "$BACKUP_IDENTITY"; else echo "${ANSWER[BACKUP_KEY]}"; fi; }
backup_done() { [ -z "${ANSWER[BACKUP_KEY]}" ] || { backup_key_is_there && [ ! -e "$BACKUP_BEGUN" ]; }; }
backup_do() {
    local file
    file=$(backup_identity_file)
    # Of a run that was killed: nobody could read what is made for that key.
    [ ! -e "$BACKUP_BEGUN" ] || rm -f "$DATA/backup/recipient"
    touch "$BACKUP_BEGUN"
    sync -f "$BACKUP_BEGUN"
    # root writes it, for the service's user may not write to a disk of root's.
    (umask 077 && ivr backup key | grep -E '^(#|AGE-SECRET-KEY-)' >"$file.new")
    mv -f "$file.new" "$file"
    sync -f "$file"
    rm -f "$BACKUP_BEGUN"
}
backup_undo() {
    local file
    file=$(backup_identity_file)
    rm -f "$DATA/backup/recipient" "$file.new" "$file" "$BACKUP_BEGUN"
}
backup_plan() {
    case ${ANSWER[BACKUP_KEY]} in
        "") echo "none yet: backups begin when there is a key (ivr backup key)" ;;
        yes) echo "the key that reads backups is shown once, at the end" ;;
        *) echo "the key that reads backups goes to ${ANSWER[BACKUP_KEY]}" ;;
    esac
}
backup_fix() { echo "is there room where BACKUP_KEY is, and can it be written? By hand: ivr backup key"; }
