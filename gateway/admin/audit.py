"""The audit log in the admin API: what admins changed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import replies, shown
from gateway.admin.asking import page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from storage import audit_log


class Audit:
    """Who did what, when."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The path under which this noun is found."""
        return [Route("/admin/audit", self.page, methods=["GET"])]

    @answers(replies.Part[replies.AuditEntry], lists=True)
    async def page(self, request: Request) -> JSONResponse:
        """Every change, newest first."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            found = await audit_log.page(connection, limit=page.limit + 1, after=page.after)
        return JSONResponse(part([shown.audit_entry(one) for one in found], page))
