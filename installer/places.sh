# shellcheck shell=bash disable=SC2034  # read by the other parts
# Where everything lies on an installed box (Filesystem Hierarchy Standard).

OPT=/opt/ivr              # releases, root's, read-only for the service
CURRENT=$OPT/current      # the release in force
ETC=/etc/ivr              # settings
DATA=/var/lib/ivr         # what the service keeps
BACKUPS=/var/backups/ivr  # what `ivr backup` makes
LOGS=/var/log/ivr         # the installer's own logs; the services log to journald
SETTINGS=$ETC/ivr.toml
ANSWERS=$ETC/install.answers
STATE=/var/lib/ivr-installer  # root's: what the installer wrote and put aside, for repair and removal
FIRST_PASSWORD=$STATE/first.password   # these two are shown once, at the end, and kept until then:
BACKUP_IDENTITY=$STATE/backup.identity # a run that breaks off before it leaves them to the next
BACKUP_BEGUN=$STATE/backup.begun       # there is a key whose identity has not come to rest
WRAPPER=/usr/local/bin/ivr
UNITS=/etc/systemd/system
SERVICE_USER=ivr
SPARE_PORT=7099           # of the worker that stands in during an upgrade
IVR_ENVIRONMENT=("IVR_SETTINGS=$SETTINGS" "HOME=$DATA" "PATH=$PATH" "LANG=C.UTF-8")
