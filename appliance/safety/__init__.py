"""What may be said, and what may be kept. Pure: no clock, no I/O.

* the guard: ``guard`` asks ``rules`` (built-in, and the site's: ``site_rules``, ``patterns``),
  ``personal``, ``injection`` and ``grounding`` (``facts``, ``counted``, ``units``); what it is told and
  tells, ``findings``; as a row of the review queue, ``flags``
* redaction: ``redact`` asks ``personal_numbers`` (``checksums``, ``cues``) and ``spelt_codes``
* numbers in words, for both: ``digits`` (``numberwords``, ``fused``)
* words, folded: ``wordfold`` for rules and facts, ``tokens`` for digits (see ``appliance.spelling``)
"""
