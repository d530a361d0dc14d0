"""Backups: made while calls go on, sealed and encrypted, proven, and brought back.

* ``keys``: who can read them, and what proves that this box made them
* ``manifest``: what a backup says of itself; ``target``: the folder where backups lie, one at a time
* ``rotation``: which stay (pure)
* ``ciphering``: streams into and out of age, with checksums and at a bounded pace
* ``clients``: Postgres's programs; ``dumping``: ``pg_dump`` out of a snapshot; ``loading``: a dump into
  a database, in one transaction
* ``scratch``: a server of its own, to prove a dump on
* ``pool``: recordings and other large files, each kept once however many backups list it
* ``boxfiles``: settings, secrets and other small files, as one archive
* ``create``: makes one, from ``gathering`` (its files) and ``drilling`` (the proof while it is made);
  ``pruning``: takes old ones away; ``modest``: behind everybody else
* ``opening``: finds one and looks whether it is ours and whole; ``database``: its rows in a server,
  compared; ``verify``: proves one
* ``restore``: brings one back, with ``journal`` (how far it is), ``placing`` (its files),
  ``settingsfile``, ``running`` (the embedded server, while the appliance is stopped) and ``owner``
  (whose data it is)
* ``state``: how the last one ended, for alarms; ``command``: what is typed, and what is printed
"""
