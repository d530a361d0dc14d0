"""Turn taking: pure tables and counters. No clock, no I/O; time comes in as audio ms."""
