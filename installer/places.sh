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
WRAPPER=/usr/local/bin/ivr
UNITS=/etc/systemd/system
SERVICE_USER=ivr
IVR_ENVIRONMENT=("IVR_SETTINGS=$SETTINGS" "HOME=$DATA" "PATH=$PATH" "LANG=C.UTF-8")
