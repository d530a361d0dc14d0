"""``ivr top``: the box, live in a terminal.

``state`` is what is seen at one moment; ``gather`` asks for it, ``follow`` hears of calls from the
workers' ``/watch``, ``machine`` looks at the machine; ``view`` draws it for a width and a height,
``keys`` reads what is typed, ``run`` puts them together.
"""
