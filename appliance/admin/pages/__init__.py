"""The pages, one noun a file; ``admin.app`` imports them all."""
