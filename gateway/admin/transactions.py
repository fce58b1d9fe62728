"""Transactions in the admin API: the calls of a business."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import replies, shown
from gateway.admin.asking import page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from storage import businesses, transactions


class Transactions:
    """Calls, each with what it used and what it cost."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The paths under which this noun is found."""
        return [
            Route("/admin/businesses/{id}/transactions", self.page, methods=["GET"]),
            Route("/admin/transactions/{id}", self.one, methods=["GET"]),
        ]

    @answers(replies.Part[replies.Transaction], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """The recorded calls of a business, newest first."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            found = await transactions.page(
                connection, business.id, limit=page.limit + 1, after=page.after
            )
        return JSONResponse(part([shown.transaction(one) for one in found], page))

    @answers(replies.Transaction)
    async def one(self, request: Request) -> JSONResponse:
        """One recorded call."""
        async with self._desk.database.read() as connection:
            transaction = await transactions.get(connection, request.path_params["id"])
        return JSONResponse(shown.transaction(transaction))
