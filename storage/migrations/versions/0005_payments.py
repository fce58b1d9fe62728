"""
Paying through a provider: what it told, what it must be asked, refunds, and what waits.

The code before it does not know these tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False)
AT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _checks()
    _events()
    _problems()
    _refunds()


def _of_purchase(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["purchase_id"], ["ai_credit_purchases.id"], name=op.f(f"fk_{table}_purchase_id")
    )


def _checks() -> None:
    op.create_table(
        "payment_checks",
        sa.Column("purchase_id", ID, nullable=False),
        sa.Column(
            "authorization_url",
            sa.Text(),
            comment="where the payer pays; empty until it is known",
        ),
        sa.Column(
            "checks", sa.Integer(), nullable=False, comment="how often the provider was asked"
        ),
        sa.Column("next_check_at", AT, comment="empty: it need not be asked any more"),
        sa.Column("last_said", sa.Text(), comment="what the provider said last, in a word"),
        _of_purchase("payment_checks"),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("pk_payment_checks")),
    )
    op.create_index("ix_payment_checks_next_check_at", "payment_checks", ["next_check_at"])


def _events() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, comment="SHA-256 of the body"),
        sa.Column("kind", sa.String(64), nullable=False, comment="as the provider names it"),
        sa.Column("reference", sa.String(200), comment="of the payment it is about"),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=False,
            comment="as it came; its signature was right",
        ),
        sa.Column("received_at", AT, nullable=False),
        sa.Column("processed_at", AT, comment="empty: it is still to be processed"),
        sa.Column("outcome", sa.Text(), comment="what came of it"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint("provider", "digest", name=op.f("uq_webhook_events_provider_digest")),
    )
    op.create_index(
        "ix_webhook_events_unprocessed",
        "webhook_events",
        ["id"],
        sqlite_where=sa.text("processed_at IS NULL"),
        postgresql_where=sa.text("processed_at IS NULL"),
    )


def _problems() -> None:
    op.create_table(
        "payment_problems",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False, comment="of the payment"),
        sa.Column("why", sa.String(32), nullable=False, comment="amount, currency, business, …"),
        sa.Column("purchase_id", ID, comment="empty: unknown"),
        sa.Column("refund_id", ID, comment="the refund it is about"),
        sa.Column("expected", JSON, nullable=False),
        sa.Column("found", JSON, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("decision", sa.String(16), comment="accepted or dismissed; empty: it waits"),
        sa.Column("decided_by", sa.String(200)),
        sa.Column("decided_at", AT),
        sa.Column("reason", sa.Text()),
        _of_purchase("payment_problems"),
        sa.CheckConstraint(
            "decision IN ('accepted', 'dismissed')", name=op.f("ck_payment_problems_decision")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_problems")),
        sa.UniqueConstraint(
            *("provider", "reference", "why"),
            name=op.f("uq_payment_problems_provider_reference_why"),
        ),
    )


def _refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("purchase_id", ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False, comment="refund or dispute"),
        sa.Column(
            "status", sa.String(16), nullable=False, comment="asked, pending, processed, failed"
        ),
        sa.Column(
            "amount_minor", sa.BigInteger(), nullable=False, comment="minor units of its currency"
        ),
        sa.Column(
            "taken_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; asked back",
        ),
        sa.Column("provider_reference", sa.String(200), comment="the provider's own name for it"),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("finished_at", AT),
        _of_purchase("refunds"),
        sa.CheckConstraint("kind IN ('refund', 'dispute')", name=op.f("ck_refunds_kind")),
        sa.CheckConstraint(
            "status IN ('asked', 'pending', 'processed', 'failed')",
            name=op.f("ck_refunds_status"),
        ),
        sa.CheckConstraint(
            "amount_minor >= 0 AND taken_microcredits >= 0", name=op.f("ck_refunds_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint(
            *("purchase_id", "provider_reference"),
            name=op.f("uq_refunds_purchase_id_provider_reference"),
        ),
    )
