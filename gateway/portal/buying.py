"""/portal: what a business can buy, and what it bought."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from gateway.admin import shown
from gateway.errors import RequestRefused
from gateway.payments.buying import Bought, Buying
from gateway.read_call import Headers, Receive, read_body
from storage import purchases
from storage.errors import NotFound
from storage.keys import KeyHolder

BODY_MAX_BYTES = 4096
PAGE = 50

PACKAGES = "/portal/packages"
PURCHASES = "/portal/purchases"


class Asks(Protocol):
    """`gateway.portal.routes.Asking`, as far as buying needs it."""

    @property
    def holder(self) -> KeyHolder: ...
    @property
    def query(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def receive(self) -> Receive: ...


class PortalBuying:
    """What a business buys for itself, with any of its keys."""

    def __init__(self, buying: Buying) -> None:
        self._buying = buying

    async def packages(self, asking: Asks) -> Any:
        """What can be bought now; nothing where nobody can be paid."""
        settling = self._buying.settling
        offers = self._buying.packages.offers(settling.clock()) if settling.is_on else []
        return {"data": [offer.shown for offer in offers]}

    async def buy(self, asking: Asks) -> Any:
        """
        Begin a purchase.

        Raises:
            RequestRefused: The body does not name a package that there is.
            PaymentsUnavailable, PaymentsOff
        """
        body = await read_body(asking.headers, asking.receive, most_bytes=BODY_MAX_BYTES)
        try:
            fields = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RequestRefused('the body should be {"package": "…"}', param="package") from None
        package, user = fields.pop("package", None), fields.pop("user", None)
        if fields or not isinstance(package, str):
            raise RequestRefused('the body should be {"package": "…"}', param="package")
        if user is not None and not _is_name(user):
            raise RequestRefused("user: should be 1 to 200 printable characters", param="user")
        return _shown(await self._buying.buy(asking.holder.business, package, user=user))

    async def one(self, asking: Asks, id: str) -> Any:
        """
        One purchase of the business, to be asked again until it is credited.

        Raises:
            NotFound: The business has none with this id. Another's is told the same way.
        """
        bought = await self._buying.look(id)
        if bought.purchase.business != asking.holder.business:
            raise NotFound("purchase", id)
        return _shown(bought)

    async def page(self, asking: Asks) -> Any:
        """The receipts of the business, newest first, fifty at a time."""
        said = parse_qs(asking.query.decode("latin-1"), max_num_fields=10)
        after = said.get("after", [None])[0]
        async with self._buying.settling.database.read() as connection:
            found = await purchases.page(
                connection, asking.holder.business, limit=PAGE + 1, after=after
            )
        data = [shown.purchase(one) for one in found[:PAGE]]
        return {"data": data, "next": data[-1]["id"] if len(found) > PAGE else None}


def _shown(bought: Bought) -> dict[str, Any]:
    return {
        **shown.purchase(bought.purchase),
        "credited": bought.purchase.applied_at is not None,
        "authorization_url": bought.authorization_url,
    }


def _is_name(user: Any) -> bool:
    return isinstance(user, str) and 0 < len(user) <= 200 and user.isprintable()
