"""
Who owns what at OpenAI: all businesses share a project there, and only we know whose is whose.

The code before it neither makes objects nor asks for them, so it needs no row.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False)


def upgrade() -> None:
    op.create_table(
        "object_owners",
        sa.Column(
            "id", sa.String(length=200), nullable=False, comment="OpenAI's: resp_…, file-…, vs_…"
        ),
        sa.Column(
            "kind",
            sa.String(length=32),
            nullable=False,
            comment="response, file, vector_store, …",
        ),
        sa.Column("business_id", ID, nullable=False),
        sa.Column("key_id", ID, comment="that made it"),
        sa.Column("feature", sa.String(length=100)),
        sa.Column("tokens", sa.BigInteger(), comment="in and out, of a response; empty: not known"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_object_owners_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_object_owners")),
    )
    op.create_index(
        "ix_object_owners_business_id_kind_created_at",
        "object_owners",
        ["business_id", "kind", "created_at"],
    )
