"""Postgres: the one store of truth, and the journal that writes to it behind the call."""
