"""The engine servers: one model each, in a process of its own."""
