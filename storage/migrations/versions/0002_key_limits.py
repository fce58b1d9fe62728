"""
Limits of a key: requests and tokens a minute, calls at a time; empty is as the settings say.

The code before it does not ask for these columns and leaves them empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = {
    "requests_per_minute": "empty: as the settings say",
    "tokens_per_minute": "empty: as the settings say",
    "concurrent": "calls at a time; empty: as the settings say",
}


def upgrade() -> None:
    for name, comment in COLUMNS.items():
        op.add_column("api_keys", sa.Column(name, sa.Integer(), comment=comment))
