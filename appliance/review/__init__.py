"""Looking at answers again.

``moderation`` checks calls that are over, ``golden`` asks watched questions every night, ``common``
makes the answers that are cached; the last two ask by ``asking``, as a call would. ``flags`` is the
review loop: look, decide, mend (``corrections``), ask again. ``places`` and ``excerpt`` find a phrase
in a recording, ``likeness`` tells whether two answers say the same. ``rootcause`` says in a
sentence what was slow or wrong in a call.
"""
