"""Who may do what, and who did it.

* ``roles`` the permissions, and which role has them · ``actor`` whoever asks for something ·
  ``commandline`` whoever types commands
* ``audit`` the log of every change and every listening, chained by hashes
"""
