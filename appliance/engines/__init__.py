"""Clients of the engine servers, their pools, and the voice activity detector."""
