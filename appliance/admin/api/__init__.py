"""The REST API, ``/api/v1``: thin routes over ``admin.services``.

``app`` puts the routers together · ``access`` who may call a route · ``schema`` the
OpenAPI document
"""
