"""Top-ups, adjustments and receipts in the admin API."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import changes, replies, shown
from gateway.admin.asking import Asked, asked, page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from gateway.admin.forms import Adjustment, TopUp
from storage import businesses, purchases
from storage.ids import known_id


class Purchases:
    """Credits that are added, and corrections by hand."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The paths under which this noun is found."""
        business = "/admin/businesses/{id}"
        return [
            Route(f"{business}/top-ups", self.top_up, methods=["POST"]),
            Route(f"{business}/adjustments", self.adjust, methods=["POST"]),
            Route(f"{business}/purchases", self.page, methods=["GET"]),
            Route("/admin/purchases/{id}", self.one, methods=["GET"]),
        ]

    @answers(replies.ToppedUp, status=201, form=TopUp, once=True, refuses=(409,))
    async def top_up(self, request: Request) -> JSONResponse:
        """Add credits; they can be used when the answer says `applied`."""
        body = await asked(request, TopUp)
        admin = self._desk.admin(request)
        business = known_id("business", request.path_params["id"])

        async def work(connection: AsyncConnection) -> shown.Shown:
            purchase = await changes.top_up(connection, business, body.form, admin)
            row = await businesses.ledger_row(connection, purchase.business)
            return {"purchase": shown.purchase(purchase), **shown.recorded(row)}

        return await self._answer(body, f"top-up {business}", admin, work, business)

    @answers(replies.Adjusted, status=201, form=Adjustment, once=True)
    async def adjust(self, request: Request) -> JSONResponse:
        """
        Correct a balance by hand.

        What is taken shows in the balance once Redis has said how much was there.
        """
        body = await asked(request, Adjustment)
        admin = self._desk.admin(request)
        business = known_id("business", request.path_params["id"])

        async def work(connection: AsyncConnection) -> shown.Shown:
            event = await changes.adjust(connection, business, body.form, admin)
            row = await businesses.ledger_row(connection, event.business)
            correction = shown.adjustment(event, reason=body.form.reason, at=admin.at)
            return {"adjustment": correction, **shown.recorded(row)}

        return await self._answer(body, f"adjustment {business}", admin, work, business)

    @answers(replies.Part[replies.Purchase], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """The receipts of a business, newest first."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            found = await purchases.page(
                connection, business.id, limit=page.limit + 1, after=page.after
            )
        return JSONResponse(part([shown.purchase(one) for one in found], page))

    @answers(replies.Purchase)
    async def one(self, request: Request) -> JSONResponse:
        """One receipt."""
        async with self._desk.database.read() as connection:
            purchase = await purchases.get(connection, request.path_params["id"])
        return JSONResponse(shown.purchase(purchase))

    async def _answer(
        self,
        body: Asked[TopUp] | Asked[Adjustment],
        scope: str,
        admin: changes.Admin,
        work: changes.Work,
        business: str,
    ) -> JSONResponse:
        answer, is_repeated = await self._desk.once(body, scope, admin.at, work)
        applied = await self._desk.applied(business)
        live, _ = await self._desk.live(business)
        now = {"applied": applied, "available": str(live.available) if live else None}
        headers = {"idempotency-replayed": "true"} if is_repeated else {}
        return JSONResponse({**answer, **now}, 201, headers)
