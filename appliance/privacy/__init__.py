"""What is kept of calls, how long, and how it is erased."""
