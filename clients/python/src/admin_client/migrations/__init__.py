"""Migrations: how a database gets the extension, keeps up with it and gets rid of it again, by Alembic.

Besides the versions there are `steps`, what they are made of; `env.py`, which Alembic runs them by; `drift`, which
holds the catalog against the specification; and the command, `python -m admin_client.migrations`.
"""
