"""The credits of one business in the admin API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import replies, shown
from gateway.admin.described import answers
from gateway.admin.desk import Desk
from storage import businesses


class CreditsNow:
    """The balance as it is, and as it is recorded."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The path under which this noun is found."""
        return [Route("/admin/businesses/{id}/credits", self.one, methods=["GET"])]

    @answers(replies.CreditsNow)
    async def one(self, request: Request) -> JSONResponse:
        """Balance, held and available from Redis; from SQL while Redis is away."""
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            row = await businesses.ledger_row(connection, business.id)
        live, is_live = await self._desk.live(business.id)
        return JSONResponse(shown.credits(business, row, live, is_live=is_live))
