"""
The tables of telling: what is to be sent of an alert, and which marks before an expiry it was for.

They stand beside `storage/tables.py` and share its MetaData; `storage/schema.py` imports
them, so that whoever checks the schema sees them.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from storage.tables import Id, UtcDateTime, metadata

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True, comment="UUIDv7; whoever gets it twice knows it by this"),
    Column("alert_id", Id, ForeignKey("ai_usage_alerts.id"), nullable=False),
    Column("channel", String(16), nullable=False, comment="email or webhook"),
    Column("state", String(16), nullable=False, comment="pending, sent, failed"),
    Column("attempts", Integer, nullable=False, comment="since it was asked for last"),
    Column("next_attempt_at", UtcDateTime, comment="empty: it is sent or given up"),
    Column("gives_up_at", UtcDateTime, nullable=False),
    Column("last_error", Text, comment="why the last attempt failed; no address, no secret"),
    Column("sent_at", UtcDateTime),
    UniqueConstraint("alert_id", "channel"),
    CheckConstraint("channel IN ('email', 'webhook')", name="channel"),
    CheckConstraint("state IN ('pending', 'sent', 'failed')", name="state"),
    Index(
        "ix_deliveries_due",
        "next_attempt_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)

NONE = "empty: the purchase found the mark passed already"

expiry_warnings = Table(
    "expiry_warnings",
    metadata,
    Column("business_id", Id, ForeignKey("businesses.id"), primary_key=True),
    Column("expires_at", UtcDateTime, primary_key=True, comment="another one arms them again"),
    Column("days_before", Integer, primary_key=True, autoincrement=False, comment="the mark"),
    Column("alert_id", Id, ForeignKey("ai_usage_alerts.id"), unique=True, comment=NONE),
)
