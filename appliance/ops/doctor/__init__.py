"""``ivr doctor``: one list of checks, for the installer, the command, the console and the alerts.

What a check is, and what it looks at:

- ``check``: a finding, a check, a step that mends; ``sentences``: what is said, for any language;
  ``errors``: what other parts say of a trouble; ``box``: what all checks look at, asked once
- ``checks``: the list of all of them, the one place to add one
- ``run``: a round of checks; ``command``: told to people, mended, looked at again

The checks, by what they look at:

- ``machine``, ``disk``, ``gpu``, ``kernel``; ``processes`` (what /proc tells, for others)
- ``settings``, ``leftovers`` (folders of data), ``files`` (modes and owners), ``ports``, ``names``
- ``parts``: what alarms are made of (``ops/alarms.py``), as checks
- ``schema`` and ``queue`` (Postgres and Redis in detail), ``engines``, ``environments``, ``models``,
  ``numbers``
- ``freeswitch`` (and SIP, trunks), ``people`` (and the console), ``services`` (systemd)
- ``releases`` (what an upgrade left), ``backup``

``selfcall``: ``ivr doctor --call``. ``bundle``: ``ivr doctor --bundle``.
"""
