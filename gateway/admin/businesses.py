"""Businesses in the admin API: add, list, look at one, change, suspend, resume."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import changes, replies, shown
from gateway.admin.asking import asked, page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from gateway.admin.forms import BusinessChange, NewBusiness, Nothing
from gateway.admin.refusals import check_upstream
from storage import businesses
from storage.businesses import Status
from storage.ids import known_id


class Businesses:
    """Who pays."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The paths under which this noun is found."""
        one = "/admin/businesses/{id}"
        return [
            Route("/admin/businesses", self.add, methods=["POST"]),
            Route("/admin/businesses", self.page, methods=["GET"]),
            Route(one, self.one, methods=["GET"]),
            Route(one, self.change, methods=["PATCH"]),
            Route(f"{one}/suspend", self.suspend, methods=["POST"]),
            Route(f"{one}/resume", self.resume, methods=["POST"]),
        ]

    @answers(replies.RecordedBusiness, status=201, form=NewBusiness, once=True)
    async def add(self, request: Request) -> JSONResponse:
        """Add a business; it begins with no credits."""
        body = await asked(request, NewBusiness)
        check_upstream(body.form.upstream, self._desk.upstreams)
        admin = self._desk.admin(request)

        async def add(connection: AsyncConnection) -> shown.Shown:
            business = await changes.add_business(
                connection, body.form, admin, self._desk.business_defaults
            )
            row = await businesses.ledger_row(connection, business.id)
            return shown.business(business, row)

        answer, _ = await self._desk.once(body, "businesses", admin.at, add)
        return JSONResponse(answer, 201)

    @answers(replies.Part[replies.RecordedBusiness], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """Every business with its balance as recorded, newest first."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            found = await businesses.page(connection, limit=page.limit + 1, after=page.after)
            rows = [
                shown.business(one, await businesses.ledger_row(connection, one.id))
                for one in found
            ]
        return JSONResponse(part(rows, page))

    @answers(replies.RecordedBusiness)
    async def one(self, request: Request) -> JSONResponse:
        """One business with its balance as recorded."""
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            row = await businesses.ledger_row(connection, business.id)
        return JSONResponse(shown.business(business, row))

    @answers(replies.AppliedBusiness, form=BusinessChange, once=True)
    async def change(self, request: Request) -> JSONResponse:
        """
        Change name, owner, time zone, threshold or how long credits of now on last.

        `switches` are all that are to be on; `upstream` null is the shared key again.
        """
        body = await asked(request, BusinessChange)
        check_upstream(body.form.upstream, self._desk.upstreams)
        admin = self._desk.admin(request)
        id = known_id("business", request.path_params["id"])

        async def change(connection: AsyncConnection) -> shown.Shown:
            business = await changes.change_business(connection, id, body.form, admin)
            return shown.business(business, await businesses.ledger_row(connection, id))

        answer, replayed = await self._desk.once(body, f"business {id}", admin.at, change)
        headers = {"idempotency-replayed": "true"} if replayed else {}
        applied = await self._desk.applied(id)
        if body.form.model_fields_set & businesses.IN_SETTINGS:
            # Whoever does not hear of it looks for itself within five seconds.
            await self._desk.announced_all(id)
        return JSONResponse({**answer, "applied": applied}, headers=headers)

    @answers(replies.ChangedBusiness, form=Nothing)
    async def suspend(self, request: Request) -> JSONResponse:
        """Refuse every new call of a business from now on."""
        return await self._set(request, "suspended")

    @answers(replies.ChangedBusiness, form=Nothing)
    async def resume(self, request: Request) -> JSONResponse:
        """Let a suspended business go on."""
        return await self._set(request, "active")

    async def _set(self, request: Request, status: Status) -> JSONResponse:
        await asked(request, Nothing)
        admin = self._desk.admin(request)
        async with self._desk.database.write() as connection:
            business = await changes.set_status(
                connection, request.path_params["id"], status, admin
            )
        applied = await self._desk.applied(business.id)
        return JSONResponse({**shown.business(business), "applied": applied})
