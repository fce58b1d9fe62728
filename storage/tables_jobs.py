"""The table of what OpenAI works on after its call has ended."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from storage.tables import Id, Json, UtcDateTime, metadata
from storage.tables import _business as business_column

pending_jobs = Table(
    "pending_jobs",
    metadata,
    Column("id", Id, primary_key=True, comment="of the hold, and of the transaction to be"),
    Column("kind", String(16), nullable=False, comment="response"),
    business_column(),
    Column("object_id", String(200), nullable=False, comment="OpenAI's: resp_…"),
    Column("granted_microcredits", BigInteger, nullable=False, comment="micro-credits; held"),
    Column("facts", Json, nullable=False, comment="what settles it: key, prices, ceiling, labels"),
    Column("started_at", UtcDateTime, nullable=False),
    Column("look_at", UtcDateTime, nullable=False, comment="when OpenAI is asked next"),
    Column("looks", Integer, nullable=False, comment="how often it was asked"),
    Index("ix_pending_jobs_look_at", "look_at"),
    Index("ix_pending_jobs_business_id_object_id", "business_id", "object_id"),
)
