"""What an admin can change about API keys, each with its line in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from gateway.admin.changes import Admin
from gateway.admin.forms import KeyChange, NewKey
from gateway.admin.refusals import FieldRefused
from metering.rates import RateCard
from storage import audit_log, keys, prices
from storage.keys import ApiKey
from storage.limits import Limits


async def issue_key(
    connection: AsyncConnection, business: str, form: NewKey, admin: Admin
) -> tuple[ApiKey, str]:
    """
    Issue a key; the second of the answer is its secret.

    Raises:
        NotFound: There is no such business.
        FieldRefused: It would have expired already, or names a model without a price.
    """
    if form.expires_at is not None and form.expires_at <= admin.at:
        raise FieldRefused("expires_at: should be in the future", param="expires_at")
    if form.scopes.models:
        await _are_priced(connection, form.scopes.models)
    key, secret = await keys.issue(
        connection,
        business=business,
        name=form.name,
        scopes=keys.Scopes(
            endpoints=frozenset(form.scopes.endpoints),
            models=frozenset(form.scopes.models),
            features=frozenset(form.scopes.features),
        ),
        default_feature=form.default_feature,
        credit_cap=form.credit_cap,
        limits=Limits(form.requests_per_minute, form.tokens_per_minute, form.concurrent),
        expires_at=form.expires_at,
        at=admin.at,
    )
    await audit_log.write(
        connection,
        who=admin.who,
        what="key.issue",
        object_id=key.id,
        after=shown.key(key),
        at=admin.at,
    )
    return key, secret


async def _are_priced(connection: AsyncConnection, models: Sequence[str]) -> None:
    """
    A key for a model that nobody can call would only be found out by its first call.

    Raises:
        FieldRefused: A model is neither on the card nor among the operator's own prices.
    """
    known: set[str] = {row.model for row in await prices.all(connection)}
    for row in _shipped().models.values():
        known |= {row.id, *row.aliases}
    for place, model in enumerate(models):
        if model not in known:
            close = get_close_matches(model, sorted(known), n=3, cutoff=0.5)
            meant = f"; did you mean {', '.join(close)}?" if close else ""
            param = f"scopes.models.{place}"
            raise FieldRefused(f"{param}: {model!r} has no price here{meant}", param=param)


@cache
def _shipped() -> RateCard:
    return RateCard.load()


async def revoke_key(connection: AsyncConnection, id: str, admin: Admin) -> ApiKey:
    """
    End a key; its digest is then to be announced.

    Raises:
        NotFound: There is no such key.
    """
    before = await keys.get(connection, id)
    after = await keys.revoke(connection, before.id, admin.at)
    if before.revoked_at is None:
        await audit_log.write(
            connection,
            who=admin.who,
            what="key.revoke",
            object_id=after.id,
            before=shown.key(before),
            after=shown.key(after),
            at=admin.at,
        )
    return after


async def change_key(connection: AsyncConnection, id: str, form: KeyChange, admin: Admin) -> ApiKey:
    """
    Change the limits of a key; its digest is then to be announced.

    Raises:
        NotFound: There is no such key.
    """
    before = await keys.get(connection, id)
    after = await keys.change(connection, before, form.fields)
    if after != before:
        await audit_log.write(
            connection,
            who=admin.who,
            what="key.change",
            object_id=after.id,
            before=shown.key(before),
            after=shown.key(after),
            at=admin.at,
        )
    return after
