"""What an agent knows: passages, their search, and answers drawn from them.

Two ways meet in Postgres. In, by ``ivr jobs`` or a command: ``fetching`` (``addresses``; again:
``refreshing``) -> ``reading`` (any format, in a process of its own) -> ``cutting`` -> ``drafts`` ->
``embedding``; ``work`` does so with one document, ``ingest`` with a whole base, ``backends`` opens the
servers for both. Out, by a call: ``rewriting`` (``followup_words``) makes a question whole, ``search``
finds (``scope``, ``questions``, ``plans``, ``scoring``), from memory where Postgres is away
(``library``, ``memory``, ``wordindex``, ``copies``, ``copying``), and ``answers`` says it without a
language model. Both count words alike: ``words`` (``folding``, ``stems``, ``stopwords``).
"""
