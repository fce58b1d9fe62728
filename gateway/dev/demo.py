"""The demo business of a data directory: made once, with trial credits and a key."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from metering.money import Credits
from storage import businesses, keys, purchases
from storage.database import Database

NAME = "Demo Shop"


@dataclass(frozen=True)
class Demo:
    """What is shown of the demo business. Its key lies in the data directory, mode 0600."""

    name: str
    key: str
    trial: str
    balance: str = ""

    @property
    def credits(self) -> str:
        """What it has, in words."""
        if self.balance in ("", self.trial):
            return f"{self.trial} trial credits"
        return f"{self.balance} credits"


async def demo_in(data_dir: Path, database: Database, *, trial: Credits) -> Demo:
    """The demo business of this data directory; it is made at the first start."""
    path = data_dir / "demo.json"
    try:
        demo = Demo(**json.loads(path.read_text()))
    except FileNotFoundError:
        demo = Demo(NAME, await _make(database, trial), str(trial))
        private(path, json.dumps({"name": demo.name, "key": demo.key, "trial": demo.trial}) + "\n")
    return replace(demo, balance=await _balance(database, demo.key))


async def _balance(database: Database, key: str) -> str:
    """What is left, as far as it is recorded; empty when the records are others."""
    async with database.read() as connection:
        holder = await keys.find(connection, keys.digest_of(key))
        if holder is None:
            return ""
        return str((await businesses.ledger_row(connection, holder.business)).balance)


def private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


async def _make(database: Database, trial: Credits) -> str:
    at = datetime.now(UTC)
    async with database.write() as connection:
        business = await businesses.add(
            connection, name=NAME, owner_email="owner@example.com", at=at
        )
        _, key = await keys.issue(connection, business=business.id, name="demo", at=at)
        if trial:
            await purchases.top_up(
                connection,
                business=business.id,
                credits=trial,
                bonus=Credits(0),
                amount_paid_minor=0,
                currency=business.currency,
                provider="admin",
                reference=f"trial-{business.id}",
                method="free_trial",
                user=None,
                note="trial credits of the demo business",
                package=None,
                at=at,
            )
    return key
