"""What is going on now: the calls in progress as the workers tell of them, and the box beneath.

``state`` and ``events`` are pure: a call and one event make the call after it; ``fields`` reads what
another process says. ``workers`` holds one websocket to each worker, ``switch`` asks ``ivr switch``,
``tenants`` knows whose an agent is, ``subscription`` what one page has not seen yet (``view``: what it
sees of a call), ``gaps`` the last minutes; ``hub`` puts them together. ``site`` is the box, looked at
by ``ops/sitelook.py``.
"""
