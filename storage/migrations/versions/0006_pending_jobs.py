"""
What OpenAI works on after its call has ended: its hold is settled when it is done.

The code before it makes no such calls, so it needs no row.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "pending_jobs",
        sa.Column("id", ID, nullable=False, comment="of the hold, and of the transaction to be"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="response"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column("object_id", sa.String(length=200), nullable=False, comment="OpenAI's: resp_…"),
        sa.Column(
            "granted_microcredits", sa.BigInteger(), nullable=False, comment="micro-credits; held"
        ),
        sa.Column(
            "facts", JSON, nullable=False, comment="what settles it: key, prices, ceiling, labels"
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "look_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when OpenAI is asked next",
        ),
        sa.Column("looks", sa.Integer(), nullable=False, comment="how often it was asked"),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_pending_jobs_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_jobs")),
    )
    op.create_index("ix_pending_jobs_look_at", "pending_jobs", ["look_at"])
    op.create_index(
        "ix_pending_jobs_business_id_object_id", "pending_jobs", ["business_id", "object_id"]
    )
