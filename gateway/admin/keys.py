"""API keys in the admin API: issue, list, revoke. The secret is shown once, at the issue."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import changes, replies, shown
from gateway.admin.asking import asked, page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from gateway.admin.forms import NewKey
from storage import businesses, keys


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
            key, secret = await changes.issue_key(
                connection, request.path_params["id"], body.form, admin
            )
        return JSONResponse({**shown.key(key), "key": secret}, 201)

    @answers(replies.Part[replies.Key], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """The keys of a business, newest first, revoked ones included."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            business = await businesses.get(connection, request.path_params["id"])
            found = await keys.of_business(connection, business.id)
        later = [key for key in found if page.after is None or key.id < page.after]
        return JSONResponse(part([shown.key(key) for key in later[: page.limit + 1]], page))

    @answers(replies.RevokedKey)
    async def revoke(self, request: Request) -> JSONResponse:
        """End a key, everywhere within five seconds."""
        admin = self._desk.admin(request)
        async with self._desk.database.write() as connection:
            key = await changes.revoke_key(connection, request.path_params["id"], admin)
        announced = await self._desk.announced(key.digest)
        return JSONResponse({**shown.key(key), "announced": announced})
