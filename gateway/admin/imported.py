"""
Businesses and balances of another prepaid system, brought over line by line.

A line is imported once, however often it comes: its reference is claimed in the transaction
that does the work. What was imported is an ordinary business with an ordinary receipt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import changes, key_changes, shown
from gateway.admin.changes import Admin, BusinessDefaults
from gateway.admin.fields import Moment, NoDebt, Text200
from gateway.admin.forms import Filled, Form, NewBusiness, NewKey, refusals
from gateway.admin.refusals import FieldRefused
from metering.money import Credits
from storage import audit_log, idempotency, purchases
from storage.tables import idempotency_keys

PROVIDER = "import"  # Under which the references are unique among payments.
SCOPE = "import"
IN_ONE = 500  # References in one question.

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Balance(Form):
    """What a business had in the other system."""

    reference: Text200
    credits: NoDebt
    expires_at: Moment | None = None


COLUMNS = (*Balance.model_fields, "name", "owner_email", "owner_phone", "currency",
           "low_balance_threshold")  # fmt: skip
NEEDED = ("reference", "name", "owner_email", "credits")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, checked."""

    number: int
    business: NewBusiness
    balance: Balance
    digest: bytes


@dataclass(frozen=True, slots=True)
class Imported:
    """A business that was brought over; `key` is the secret of its key, where one was issued."""

    reference: str
    business: str
    key: str | None


class LineRefused(Exception):
    """
    A line cannot be imported as it is.

    Attributes:
        wrong: All that is not as it must be.
    """

    def __init__(self, wrong: Sequence[FieldRefused]) -> None:
        super().__init__("; ".join(map(str, wrong)))
        self.wrong = wrong


def checked(number: int, fields: Mapping[str, str], now: datetime) -> Line:
    """
    One line as it is to be imported; cells that are empty are as if they were not there.

    An expiry that is a date is the end of that day, in UTC.

    Raises:
        LineRefused: Names every field that is not as it must be.
    """
    given = {name: value.strip() for name, value in fields.items() if value and value.strip()}
    if _DATE.fullmatch(given.get("expires_at", "")):
        given["expires_at"] += "T23:59:59Z"
    of_balance = {name: given[name] for name in Balance.model_fields if name in given}
    of_business = {name: given[name] for name in given if name not in of_balance}
    wrong: list[FieldRefused] = []
    balance = _filled(Balance, of_balance, wrong)
    business = _filled(NewBusiness, of_business, wrong)
    if balance is not None and _is_lost(balance, now):
        wrong.append(
            FieldRefused(
                "expires_at: is past, so these credits are lost already; write 0 credits, or a "
                "day to come",
                param="expires_at",
            )
        )
    if wrong or balance is None or business is None:
        raise LineRefused(wrong)
    digest = sha256(json.dumps(given, sort_keys=True).encode()).digest()
    return Line(number, business, balance, digest)


def _filled(form: type[Filled], fields: Any, wrong: list[FieldRefused]) -> Filled | None:
    try:
        return form.model_validate(fields)
    except ValidationError as error:
        wrong += refusals(error)
        return None


def _is_lost(balance: Balance, now: datetime) -> bool:
    return balance.expires_at is not None and balance.expires_at <= now and bool(balance.credits)


async def known(connection: AsyncConnection, lines: Sequence[Line]) -> dict[str, bytes]:
    """Reference → digest of those lines that were imported before."""
    found: dict[str, bytes] = {}
    row = idempotency_keys.c
    for start in range(0, len(lines), IN_ONE):
        some = [line.balance.reference for line in lines[start : start + IN_ONE]]
        query = select(row.key, row.body_digest).where(row.scope == SCOPE, row.key.in_(some))
        found |= {key: bytes(digest) for key, digest in await connection.execute(query)}
    return found


async def bring_over(
    connection: AsyncConnection,
    line: Line,
    admin: Admin,
    defaults: BusinessDefaults,
    *,
    with_key: bool,
) -> Imported | None:
    """
    Add the business with its balance, in the transaction of the caller.

    Returns:
        None when the line was imported before.

    Raises:
        Conflict: It was, with other figures.
        BadAmount: More than a balance can be.
    """
    reference = line.balance.reference
    claimed = {"scope": SCOPE, "key": reference}
    done = await idempotency.claim(connection, **claimed, body_digest=line.digest, at=admin.at)
    if done is not None:
        return None
    business = await changes.add_business(connection, line.business, admin, defaults)
    if line.balance.credits != Credits(0):
        await _credit(connection, business.id, line.balance, admin)
    secret = None
    if with_key:
        _, secret = await key_changes.issue_key(
            connection, business.id, NewKey(name="import"), admin
        )
    await idempotency.keep(connection, **claimed, status=201, answer={"business_id": business.id})
    return Imported(reference, business.id, secret)


async def _credit(
    connection: AsyncConnection, business: str, balance: Balance, admin: Admin
) -> None:
    """The balance as an ordinary receipt, with its line in the audit log."""
    purchase = await purchases.top_up(
        connection,
        business=business,
        credits=balance.credits,
        provider=PROVIDER,
        reference=balance.reference,
        method="import",
        note="brought over from another system",
        expires_at=balance.expires_at,
        at=admin.at,
    )
    await audit_log.write(
        connection,
        who=admin.who,
        what="purchase.top_up",
        object_id=purchase.id,
        after=shown.purchase(purchase),
        at=admin.at,
    )
