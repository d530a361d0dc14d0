"""What may be said, and what may be kept: rules, grounding, redaction. Pure."""
