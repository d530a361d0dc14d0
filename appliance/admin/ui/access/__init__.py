"""What the pages of people, keys, tenants and the audit log are made of.

``once`` a secret that is shown once · ``scopes`` permissions in words · ``userdialog`` one person ·
``factor`` one's own second factor · ``keydialog`` a new key · ``verifying`` the audit log checked
"""
