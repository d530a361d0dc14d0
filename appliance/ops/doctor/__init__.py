"""``ivr doctor``: one list of checks, for the installer, the command, the console and the alerts.

What a check is, and what it looks at:

- ``check``: a finding, a check, a step that mends; ``box``: what all checks look at, asked once
- ``checks``: the list of all of them, the one place to add one
- ``run``: a round of checks, ``command``: told to people, mended, looked at again

The checks: ``disk``, ``settings``, and ``parts`` (what alarms are made of).

``selfcall``: ``ivr doctor --call``.
"""
