"""Model files: what there is, where it comes from, whether it is whole, what it needs."""
