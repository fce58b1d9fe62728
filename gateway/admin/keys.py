"""API keys in the admin API: issue, list, change, revoke. The secret is shown at the issue."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import key_changes, replies, shown
from gateway.admin.asking import asked, page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from gateway.admin.forms import KeyChange, NewKey
from storage import businesses, keys, spending
from storage.ids import known_id


class Keys:
    """What an app calls with."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The paths under which this noun is found."""
        of_business = "/admin/businesses/{id}/keys"
        return [
            Route(of_business, self.issue, methods=["POST"]),
            Route(of_business, self.page, methods=["GET"]),
            Route("/admin/keys/{id}", self.change, methods=["PATCH"]),
            Route("/admin/keys/{id}", self.revoke, methods=["DELETE"]),
        ]

    @answers(replies.IssuedKey, status=201, form=NewKey)
    async def issue(self, request: Request) -> JSONResponse:
        """
        Issue a key; `key` is its secret, here and never again.

        An Idempotency-Key is not honoured: the secret would have to be kept for it.
        """
        body = await asked(request, NewKey)
        admin = self._desk.admin(request)
        async with self._desk.database.write() as connection:
            key, secret = await key_changes.issue_key(
                connection, request.path_params["id"], body.form, admin
            )
        return JSONResponse({**shown.key(key), "key": secret}, 201)

    @answers(replies.Part[replies.ListedKey], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """The keys of a business, newest first, revoked ones included."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            found = await keys.page(connection, business.id, limit=page.limit + 1, after=page.after)
            spent = await spending.spent_of(connection, business.id, keys.capped(found))
        return JSONResponse(part([shown.listed_key(key, spent) for key in found], page))

    @answers(replies.AnnouncedKey, form=KeyChange, once=True)
    async def change(self, request: Request) -> JSONResponse:
        """Change the limits of a key, everywhere within five seconds; null takes one away."""
        body = await asked(request, KeyChange)
        admin = self._desk.admin(request)
        id = known_id("key", request.path_params["id"])

        async def change(connection: AsyncConnection) -> shown.Shown:
            return shown.key(await key_changes.change_key(connection, id, body.form, admin))

        answer, replayed = await self._desk.once(body, f"key {id}", admin.at, change)
        async with self._desk.database.read() as connection:
            key = await keys.get(connection, id)
        headers = {"idempotency-replayed": "true"} if replayed else {}
        announced = await self._desk.announced(key.digest)
        return JSONResponse({**answer, "announced": announced}, headers=headers)

    @answers(replies.AnnouncedKey)
    async def revoke(self, request: Request) -> JSONResponse:
        """End a key, everywhere within five seconds."""
        admin = self._desk.admin(request)
        async with self._desk.database.write() as connection:
            key = await key_changes.revoke_key(connection, request.path_params["id"], admin)
        announced = await self._desk.announced(key.digest)
        return JSONResponse({**shown.key(key), "announced": announced})
