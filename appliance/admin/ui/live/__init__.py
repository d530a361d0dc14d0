"""Calls in progress: ``elements`` the list, a transcript and its sound (each a file of JavaScript),
``call`` one call and what may be done with it, ``words`` how its states are called.
"""
