# shellcheck shell=bash
# The first person of the console, whose password is shown once and kept nowhere; and the sample agent.

people_done() { ivr users list --json | tail -n 1 | grep -q '"role":"operator"'; }

people_do() {
    local password
    password=$(random_password)
    ivr users create "${ANSWER[ADMIN_LOGIN]}" --role operator --password-stdin <<<"$password" # from standard input: no argument shows it
    printf '%s' "$password" >"$FIRST_PASSWORD"
}

people_undo() { rm -f "$FIRST_PASSWORD"; }
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
