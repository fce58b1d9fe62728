"""
What Alembic runs for each command. `storage/schema.py` hands it the connection.

There is no alembic.ini: the database is the one the gateway uses, never another.
"""

from __future__ import annotations

from alembic import context

from storage import (
    tables_alerts,  # noqa: F401  (Its tables join those of tables.py, and so do the next.)
    tables_jobs,  # noqa: F401
    tables_payments,  # noqa: F401
)
from storage.tables import metadata

connection = context.config.attributes["connection"]
is_sqlite = connection.dialect.name == "sqlite"
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite cannot alter most of a table; there Alembic copies it.
    render_as_batch=True,
    # PostgreSQL makes some indexes outside of any transaction; what is done stays done.
    transaction_per_migration=not is_sqlite,
)
if is_sqlite:
    # The copy takes the table's name at the end; SQLite would refuse that while a view reads
    # from the table of that name, which is gone for this moment.
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
with context.begin_transaction():
    context.run_migrations()
if is_sqlite:
    connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
