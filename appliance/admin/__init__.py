"""The console and its REST API: what call-center admins and operators work with every day.

* the process: ``server`` (one port, HTTPS), ``tls`` (its certificate), ``app`` (API, login and pages as
  one application), ``console`` (what they share)
* before all of it: ``connections`` (that are only held open), ``gate`` (who asks, from where, how
  often, how much), ``rates``, ``answers`` (headers, CSP); ``login`` (from a password to a session);
  ``telling`` (what Prometheus is told)
* ``services`` what can be done; ``api`` and ``pages`` are two ways to it, ``ui`` what pages are made of
* what services build on: ``live`` (the calls in progress), ``tryit`` (test calls), ``agents`` (what is
  wrong with one, what is different), ``periods`` of analytics, ``csvtext``, ``rounds`` of the doctor
"""
