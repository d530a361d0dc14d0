"""What pages are made of.

For all pages: ``page`` (its permission and its ``View``), ``layout`` the frame around it, ``words``
English and Hindi, ``show`` (chips, times, sizes), ``tables``, ``dialogs``, ``paging``; ``ended`` (open
pages are closed with their session), ``leaving`` (browsers that go are no error), ``sockets`` (a
websocket touches the pages of its own session alone); ``checks``, what the doctor found.

Of single pages, in the order of the menu: ``live`` · ``calls`` · ``review`` · ``analytics`` ·
``agents`` · ``tryit`` · ``knowledge`` · ``numbers`` (and trunks) · ``campaigns`` · ``webhooks`` ·
``access`` (people, keys, one's own account)
"""
