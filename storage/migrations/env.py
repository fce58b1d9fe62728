"""
What Alembic runs for each command. `storage/schema.py` hands it the connection.

There is no alembic.ini: the database is the one the gateway uses, never another.
"""

from __future__ import annotations

from alembic import context

from storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table; there Alembic copies it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
