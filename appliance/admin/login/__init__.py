"""From a password to a session.

``routes`` the steps · ``forms`` their pages (``templates/``: plain HTML) · ``tickets`` what the browser
carries from one step to the next
"""
