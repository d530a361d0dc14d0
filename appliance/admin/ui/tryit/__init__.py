"""A test call: ``sound`` of the browser, ``talk`` what is said, ``replay`` the same questions again."""
