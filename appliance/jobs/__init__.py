"""Background jobs: the only place that imports celery; each task is one call of a plain function."""
