"""Alerts in the admin API: list, acknowledge."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import changes, replies, shown
from gateway.admin.asking import asked, page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from gateway.admin.forms import Acknowledgement
from storage import alerts, businesses


class Alerts:
    """Warnings that were raised."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The paths under which this noun is found."""
        return [
            Route("/admin/businesses/{id}/alerts", self.page, methods=["GET"]),
            Route("/admin/alerts/{id}/acknowledge", self.acknowledge, methods=["POST"]),
        ]

    @answers(replies.Part[replies.Alert], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """The alerts of a business, newest first."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            found = await alerts.page(
                connection, business.id, limit=page.limit + 1, after=page.after
            )
        return JSONResponse(part([shown.alert(one) for one in found], page))

    @answers(replies.Alert, form=Acknowledgement)
    async def acknowledge(self, request: Request) -> JSONResponse:
        """Note that somebody has seen an alert."""
        body = await asked(request, Acknowledgement)
        async with self._desk.database.write() as connection:
            alert = await changes.acknowledge(
                connection, request.path_params["id"], body.form, self._desk.admin(request)
            )
        return JSONResponse(shown.alert(alert))
