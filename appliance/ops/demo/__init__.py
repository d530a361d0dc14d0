"""`ivr demo`: one real call made visible, and what its recording tells."""
