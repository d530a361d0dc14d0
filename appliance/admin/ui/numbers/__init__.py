"""Numbers and trunks: ``hours`` an editor of opening hours, ``way`` where a call goes, ``trunkform``,
``telephones`` (and queues).
"""
