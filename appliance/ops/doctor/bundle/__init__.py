"""``ivr doctor --bundle``: what somebody who helps needs to know, without secrets or personal data.

Nothing goes in because it looks harmless; what goes in is named: a setting of a harmless kind, a log
line of a form that our own source has, a figure.

- ``forms``: the sentences that the source can say, as patterns
- ``masking``: a line of one of those forms with all else in it left out
- ``harmless``: the settings that may be shown
- ``contents``: the files of the bundle; ``journal``: the last lines of our units
- ``command``: writes it
"""
