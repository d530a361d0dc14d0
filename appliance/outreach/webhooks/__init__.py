"""Webhooks: other systems are told what happens, signed, again and again until they have it.

``events`` what may be told and how it reads · ``signing`` secrets and signatures · ``backoff`` when it
is tried again · ``sending`` one attempt over HTTP · ``messenger`` finds events and sends them
"""
