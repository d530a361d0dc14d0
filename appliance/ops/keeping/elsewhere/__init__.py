"""On the PYTHONPATH of another environment's Python, so that it finds our code and
nothing else of ours: ``sitecustomize``, which every Python imports when it starts."""
