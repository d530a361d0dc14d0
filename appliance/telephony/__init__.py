"""SIP towards the outside: the pjsua2 endpoint and the proxy in front of it."""
