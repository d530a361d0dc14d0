"""The embedded Postgres: its server, its files, the user that it runs as."""
