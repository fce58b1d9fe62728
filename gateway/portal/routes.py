"""The table of what the gateway answers itself under /v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from gateway.endpoints import model_in
from gateway.intake import Intake
from gateway.portal.buying import PACKAGES, PURCHASES, PortalBuying
from gateway.portal.credits import credits_of
from gateway.portal.estimate import endpoint_of, estimate_of
from gateway.portal.generation import generation_of
from gateway.portal.models import list_models, show_model
from gateway.quote import Quotes
from gateway.read_call import Headers, Receive
from metering.rates import RateCard
from metering.tariff import Tariff
from storage.accounts import Accounts
from storage.balances import Balance, Balances
from storage.calls import Calls
from storage.keys import KeyHolder


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and what came with the question. The query is `scope["query_string"]`."""

    holder: KeyHolder
    query: bytes
    headers: Headers
    receive: Receive


Answer = Callable[[Asking], Awaitable[Any]]


class Portal:
    """What a business sees of itself, and what it may ask before a call."""

    def __init__(
        self,
        *,
        balances: Balances,
        accounts: Accounts,
        calls: Calls,
        intake: Intake,
        quotes: Quotes,
        card: Callable[[], RateCard],
        tariff: Tariff,
        buying: PortalBuying,
    ) -> None:
        self._balances = balances
        self._accounts = accounts
        self._calls = calls
        self._intake = intake
        self._quotes = quotes
        self._card = card
        self._tariff = tariff
        self._buying = buying
        self._answers: dict[tuple[str, str], Answer] = {
            ("GET", "/v1/credits"): self._credits,
            ("POST", "/v1/credits/estimate"): self._estimate,
            ("GET", "/v1/generation"): self._generation,
            ("GET", "/v1/models"): self._models,
            ("GET", PACKAGES): buying.packages,
            ("GET", PURCHASES): buying.page,
            ("POST", PURCHASES): buying.buy,
        }

    def find(self, method: str, path: str) -> Answer | None:
        """Who answers this; None for nobody here."""
        if method == "GET" and path.startswith(f"{PURCHASES}/"):
            return partial(self._buying.one, id=path.removeprefix(f"{PURCHASES}/"))
        model = model_in(path) if method == "GET" else None
        if model is None:
            return self._answers.get((method, path))

        async def show(asking: Asking) -> Any:
            return show_model(model, asking.holder, card=self._card(), tariff=self._tariff)

        return show

    async def _credits(self, asking: Asking) -> Any:
        return await credits_of(
            asking.holder.business, balances=self._balances, accounts=self._accounts
        )

    async def _estimate(self, asking: Asking) -> Any:
        body = await self._intake.read_body(asking.headers, asking.receive)
        said = parse_qs(asking.query.decode("latin-1"), max_num_fields=10)
        named = said.get("endpoint", [None])[0]
        endpoint = endpoint_of(body, named, card=self._card())
        call = await self._intake.read(asking.headers, _again(body), endpoint)
        business = call.holder.business

        async def read() -> Balance:
            return await self._balances.read(business)

        balance = await self._accounts.opened(business, read)
        return await estimate_of(call, balance, quotes=self._quotes)

    async def _generation(self, asking: Asking) -> Any:
        said = parse_qs(asking.query.decode("latin-1"), max_num_fields=10)
        return await generation_of(asking.holder.business, said.get("id", []), calls=self._calls)

    async def _models(self, asking: Asking) -> Any:
        return list_models(asking.holder, card=self._card(), tariff=self._tariff)


def _again(body: bytes) -> Receive:
    """A body that was read, to be read once more."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
