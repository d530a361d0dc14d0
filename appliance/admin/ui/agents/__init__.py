"""The editor of an agent.

``editing`` what was typed, saved a moment later · ``bar`` over it: where the draft stands · ``form``
its tabs, made of ``fields`` and ``pairs`` · ``text`` the agent as its file · ``versions`` what was
published, compared in ``diffview``
"""
