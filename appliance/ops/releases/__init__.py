"""Releases: how one is made, carried to a box, tried, put in force and left again.

* made: ``bundle`` (what `ivr bundle` does), ``wheelhouse`` (wheels of the lock), ``lockfile``,
  ``licences``, ``sbom``, ``about``, ``marks`` (migrations are what they say they are)
* carried: ``manifest`` and ``bundlefile`` (the signed file, read by who trusts nobody), ``signing``
* known to be vulnerable: ``advisories``
* on the box: ``release`` (folders, the one in force), ``laying`` (a new one beside it), ``listing``
* from one to another: ``upgrade`` (the steps), ``journal`` (which are done), ``preflight``,
  ``scratch`` (the new one tried on free ports), ``replay`` (golden questions), ``rolling`` (services
  one by one), ``units`` (the service manager), ``health``
"""
