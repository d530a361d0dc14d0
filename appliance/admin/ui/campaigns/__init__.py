"""Campaigns: ``bar`` where one stands, ``form`` how it calls, ``upload`` whom."""
