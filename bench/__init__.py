"""Rehearsals: N simultaneous callers against one worker, with emulated engines."""
