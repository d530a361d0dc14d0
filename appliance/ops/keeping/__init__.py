"""Processes that are kept: started, looked at, started again, as many as wanted, drained, ended."""
