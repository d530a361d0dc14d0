"""What every process counts, and how Prometheus reads it.

``buckets`` counts durations in plain ints, on the call path too; ``catalogue`` is every metric with its
labels and what it means; ``exposition`` writes what a process knows as Prometheus's text, when it is
asked; ``process`` is what all processes tell of themselves, ``looplag`` how late their event loop is,
``access`` who may read it, ``port`` serves it where a process has no HTTP port of its own; ``calls``
counts calls and turns as the journal gets them, ``serving`` batches and waits of an engine server,
``machine`` the disk that data is on, ``reading`` reads what other processes tell.
"""
