"""The voice agent that answers the telephone in the operator's own rack."""

__version__ = "0.1.0"
