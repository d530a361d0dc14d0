# shellcheck shell=bash
# nftables: what may reach this box. `ivr firewall` makes the rules, tries them, and takes them back
# by itself unless they are confirmed, so that nobody is locked out.

firewall_done() { [ "${ANSWER[FIREWALL]}" = no ]; }
firewall_do() { echo "no firewall yet"; }
firewall_undo() { :; }
firewall_plan() { if [ "${ANSWER[FIREWALL]}" = no ]; then echo "left out"; else echo "nftables table of ours alone; SSH stays open"; fi; }
firewall_fix() { echo "FIREWALL=no leaves it out."; }
remove_firewall() { :; }
