"""What pages are made of.

For all pages: ``page`` (its permission and its ``View``), ``layout`` the frame around it, ``words``
English and Hindi, ``show`` (chips, times, sizes), ``ended`` (open pages are closed with their session).

Of single pages, in the order of the menu: ``live`` · ``calls`` · ``review`` · ``analytics`` ·
``agents`` · ``tryit`` · ``knowledge`` · ``numbers`` (and trunks) · ``campaigns`` · ``webhooks`` ·
``access`` (people, keys, one's own account)
"""
