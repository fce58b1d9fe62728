"""
Telling of alerts: what is to be sent of each, and one alert for each mark before an expiry.

The code before it raises no expiring_soon, so it meets the same unique key as ever; it writes
alerts without deliveries, and nobody is told of those.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False)
AT = sa.DateTime(timezone=True)

ONCE = "uq_ai_usage_alerts_business_id_alert_type_credit_seq"
OTHERS = sa.text("alert_type <> 'expiring_soon'")
PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    _once_for_an_arming()
    _deliveries()
    _expiry_warnings()


def _once_for_an_arming() -> None:
    """Several expiring_soon belong to one credit event: one for each mark."""
    if op.get_bind().dialect.name == "sqlite":
        kinds = "alert_type IN ('low_balance', 'depleted', 'expired', 'expiring_soon')"
        # A table of SQLite is made anew, and its checks are not read from the old one.
        check = sa.CheckConstraint(kinds, name=op.f("ck_ai_usage_alerts_alert_type"))
        with op.batch_alter_table("ai_usage_alerts", table_args=(check,)) as table:
            table.drop_constraint(op.f(ONCE), type_="unique")
    else:
        op.drop_constraint(op.f(ONCE), "ai_usage_alerts", type_="unique")
    op.create_index(
        "uq_ai_usage_alerts_arming",
        "ai_usage_alerts",
        ["business_id", "alert_type", "credit_seq"],
        unique=True,
        sqlite_where=OTHERS,
        postgresql_where=OTHERS,
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column(
            "id", ID, nullable=False, comment="UUIDv7; whoever gets it twice knows it by this"
        ),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False, comment="email or webhook"),
        sa.Column("state", sa.String(16), nullable=False, comment="pending, sent, failed"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="since it was asked for last"),
        sa.Column("next_attempt_at", AT, comment="empty: it is sent or given up"),
        sa.Column("gives_up_at", AT, nullable=False),
        sa.Column(
            "last_error", sa.Text(), comment="why the last attempt failed; no address, no secret"
        ),
        sa.Column("sent_at", AT),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["ai_usage_alerts.id"], name=op.f("fk_deliveries_alert_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("alert_id", "channel", name=op.f("uq_deliveries_alert_id_channel")),
        sa.CheckConstraint("channel IN ('email', 'webhook')", name=op.f("ck_deliveries_channel")),
        sa.CheckConstraint(
            "state IN ('pending', 'sent', 'failed')", name=op.f("ck_deliveries_state")
        ),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["next_attempt_at"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )


def _expiry_warnings() -> None:
    op.create_table(
        "expiry_warnings",
        sa.Column("business_id", ID, nullable=False),
        sa.Column("expires_at", AT, nullable=False, comment="another one arms them again"),
        sa.Column("days_before", sa.Integer(), nullable=False, comment="the mark"),
        sa.Column("alert_id", ID, comment="empty: the purchase found the mark passed already"),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_expiry_warnings_business_id")
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["ai_usage_alerts.id"], name=op.f("fk_expiry_warnings_alert_id")
        ),
        sa.PrimaryKeyConstraint(
            *("business_id", "expires_at", "days_before"), name=op.f("pk_expiry_warnings")
        ),
        sa.UniqueConstraint("alert_id", name=op.f("uq_expiry_warnings_alert_id")),
    )
