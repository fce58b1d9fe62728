"""Alerts in the admin API: list, acknowledge, send again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import alert_changes, changes, replies
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
            Route("/admin/alerts/{id}/send-again", self.send_again, methods=["POST"]),
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
            rows = await alert_changes.told(connection, found)
        return JSONResponse(part(rows, page))

    @answers(replies.Alert, form=Acknowledgement)
    async def acknowledge(self, request: Request) -> JSONResponse:
        """Note that somebody has seen an alert."""
        body = await asked(request, Acknowledgement)
        async with self._desk.database.write() as connection:
            alert = await changes.acknowledge(
                connection, request.path_params["id"], body.form, self._desk.admin(request)
            )
            [row] = await alert_changes.told(connection, [alert])
        return JSONResponse(row)

    @answers(replies.Alert, refuses=(409,))
    async def send_again(self, request: Request) -> JSONResponse:
        """Send an alert once more, through every channel that is set up."""
        async with self._desk.database.write() as connection:
            row = await alert_changes.send_again(
                connection,
                request.path_params["id"],
                self._desk.channels,
                self._desk.admin(request),
            )
        return JSONResponse(row)
