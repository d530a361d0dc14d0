"""What goes out by itself: ``campaigns`` of calls, and ``webhooks``."""
