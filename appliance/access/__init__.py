"""Who may do what, and who did it.

* ``roles`` the permissions, and which role has them · ``actor`` whoever asks for something ·
  ``commandline`` whoever types commands
* how somebody proves who they are: ``proving`` -> ``passwords``, ``totp``, ``sealing`` (what is
  encrypted) · ``sessions`` of browsers · ``apikeys`` of programs
* ``users`` and ``tenants``: who is made, changed, shut out by whom · ``account``: one's own
* ``audit`` the log of every change and every listening, chained by hashes · ``tolls``: what of the
  toll rules' refusals stands in it
"""
