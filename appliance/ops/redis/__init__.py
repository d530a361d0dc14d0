"""The embedded Redis: the queue of background jobs."""
