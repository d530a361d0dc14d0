"""The page of webhooks in pieces.

``words`` events and states for people · ``form`` a webhook, new or changed · ``secret`` the secret,
shown once · ``log`` its deliveries, and what was given up
"""
