"""What pages are made of.

``page`` a page, its permission and its ``View`` · ``layout`` the frame around it · ``words`` English
and Hindi

Calls: ``waveform`` (with ``marks``) · ``transcript`` (with ``stagebars``) · ``passages`` ·
``callfilters`` · ``callwords`` · ``calldetails`` · ``callerasing``
"""
