"""Calls that were: ``filters`` of the log, ``words`` of what became of one.

One call: ``transcript`` (with ``stagebars`` and ``passages``) and ``waveform`` (with ``marks``), each
with a file of JavaScript · ``details`` beside them · ``erasing``
"""
