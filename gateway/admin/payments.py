"""Payments in the admin API: refunds, what waits for a person, and what is not credited."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import payment_changes, payment_replies, replies, shown
from gateway.admin.asking import asked, page_of
from gateway.admin.described import answers
from gateway.admin.desk import Desk, part
from gateway.admin.payment_forms import Decision, Refunding
from gateway.payments.unsettled import unsettled
from storage import businesses, payment_problems, purchases, refunds
from storage.ids import known_id


class Payments:
    """Money that came and should not have, or goes back."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The paths under which this noun is found."""
        problem = "/admin/payments/problems/{id}"
        return [
            Route("/admin/purchases/{id}/refund", self.refund, methods=["POST"]),
            Route("/admin/payments/unsettled", self.unsettled, methods=["GET"]),
            Route("/admin/payments/problems", self.problems, methods=["GET"]),
            Route(f"{problem}/accept", self.accept, methods=["POST"]),
            Route(f"{problem}/dismiss", self.dismiss, methods=["POST"]),
        ]

    @answers(payment_replies.Refunded, status=201, form=Refunding, once=True, refuses=(409,))
    async def refund(self, request: Request) -> JSONResponse:
        """
        Send money back; the credits are taken back once it has gone.

        What was spent already is owed, and blocks new calls until it is paid.
        """
        body = await asked(request, Refunding)
        admin = self._desk.admin(request)
        purchase = known_id("purchase", request.path_params["id"])

        async def work(connection: AsyncConnection) -> shown.Shown:
            refund = await payment_changes.begin_refund(connection, purchase, body.form, admin)
            return {"refund": refund.id}

        answer, is_repeated = await self._desk.once(body, f"refund {purchase}", admin.at, work)
        if not is_repeated:
            await self._desk.settling.refund(answer["refund"])
        async with self._desk.database.read() as connection:
            refund = await refunds.get(connection, answer["refund"])
            bought = await purchases.get(connection, purchase)
        applied = await self._desk.applied(bought.business)
        live, _ = await self._desk.live(bought.business)
        async with self._desk.database.read() as connection:
            row = await businesses.ledger_row(connection, bought.business)
        told = {
            "refund": shown.refund(refund, bought.currency),
            "purchase": shown.purchase(bought),
            **shown.recorded(row),
            "applied": applied,
            "available": str(live.available) if live else None,
        }
        headers = {"idempotency-replayed": "true"} if is_repeated else {}
        return JSONResponse(told, 201, headers)

    @answers(replies.Part[payment_replies.Unsettled])
    async def unsettled(self, request: Request) -> JSONResponse:
        """What was paid and is not credited: normally empty."""
        async with self._desk.database.read() as connection:
            rows = await unsettled(connection, self._desk.clock())
        return JSONResponse({"data": rows, "next": None})

    @answers(replies.Part[payment_replies.PaymentProblem], lists=True)
    async def problems(self, request: Request) -> JSONResponse:
        """Payments that wait for a person, newest first."""
        page = page_of(request)
        async with self._desk.database.read() as connection:
            found = await payment_problems.page(connection, limit=page.limit + 1, after=page.after)
        return JSONResponse(part([shown.problem(one) for one in found], page))

    @answers(payment_replies.PaymentProblem, form=Decision, refuses=(409,))
    async def accept(self, request: Request) -> JSONResponse:
        """Take a payment as it came: the purchase is credited, or the refund is seen as made."""
        body = await asked(request, Decision)
        admin = self._desk.admin(request)
        async with self._desk.database.write() as connection:
            problem, business = await payment_changes.accept(
                connection, request.path_params["id"], body.form, admin
            )
        await self._desk.applied(business)
        return JSONResponse(shown.problem(problem))

    @answers(payment_replies.PaymentProblem, form=Decision, refuses=(409,))
    async def dismiss(self, request: Request) -> JSONResponse:
        """Credit nothing for a payment; send the money back at the provider, if it came."""
        body = await asked(request, Decision)
        admin = self._desk.admin(request)
        async with self._desk.database.write() as connection:
            problem = await payment_changes.dismiss(
                connection, request.path_params["id"], body.form, admin
            )
        return JSONResponse(shown.problem(problem))
