"""What is kept of calls, how long, and how it is erased: ``retention`` every night, ``erasure`` for one
caller, ``beeping`` for what the end of a call left; ``recordings`` and ``spools`` are the files."""
