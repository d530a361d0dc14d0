"""Background jobs: the only place that speaks Celery; each task is one call of a plain function.

``run`` is the process of ``ivr jobs``, ``beside`` the processes it starts, ``pulse`` its watchdog;
``celery`` is how jobs travel, ``enqueue`` how one is added, ``tasks`` and ``periodic`` what is done
when, ``documents`` the functions that are nobody else's, ``backup`` the one of the night where no
timer makes it.
``counts`` and ``telling``: what Prometheus is told.
"""
