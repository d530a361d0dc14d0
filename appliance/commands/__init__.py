"""Command groups of ``ivr``: what an operator types. Each only reads its options and calls ``ops``."""
