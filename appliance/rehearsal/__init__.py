"""Callers that test the whole appliance, and the report of what they heard."""
