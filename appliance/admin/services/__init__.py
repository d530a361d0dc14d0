"""What the console does: plain async functions ``f(console, actor, …)``, the same for pages and API.

Each asks for its permission first, keeps to the actor's tenant, and writes changes and listening into
the audit log.
"""
