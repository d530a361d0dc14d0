"""`ivr rehearse` and `ivr audit`: what surrounds the calls and report of ``appliance/rehearsal``."""
