"""The alembic history of the extension: it creates and upgrades admin_ext, and refuses a downgrade that would lose data.

    python -m admin_client.migrations upgrade | downgrade REVISION | current | history | drift

or alembic's own command with clients/python/alembic.ini.  The extension's script is the schema; the history says when it is run.
"""
