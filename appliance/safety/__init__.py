"""What may be heard and what may be stored."""
