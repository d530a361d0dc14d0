"""Talking to an agent from a browser, or by typing: an edge as ``ivr sip`` is one, for one call each.

``edge`` is the call's way to a worker (docs/wires.md §1), ``webrtc`` the way to the browser,
``resampling`` what is between 48 kHz and the call's rate; ``progress`` is what has been said and found
so far, ``trial`` one call, ``calls`` all of them with their limits.
"""
