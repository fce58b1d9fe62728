"""Where a provider and a returning payer come in: no key opens these, a signature does."""

from __future__ import annotations

import logging
from html import escape

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway.currency import show_money
from gateway.error_replies import reply_to
from gateway.payments.provider import SignatureWrong, WebhookNotUnderstood
from gateway.payments.settling import Settling
from storage.purchases import Purchase

log = logging.getLogger(__name__)

WEBHOOK = "/webhooks/paystack"
CALLBACK = "/payments/paystack/callback"
PATHS = frozenset({WEBHOOK, CALLBACK})

BODY_MAX_BYTES = 64 * 1024  # A charge has about two kilobytes.


class PaymentDoors:
    """The webhook and the way back."""

    def __init__(self, settling: Settling) -> None:
        self._settling = settling

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route(WEBHOOK, self.webhook, methods=["POST"]),
            Route(CALLBACK, self.returned, methods=["GET"]),
        ]

    async def webhook(self, request: Request) -> Response:
        """
        Keep what came, say 200, then act on it.

        The provider sends again what was not answered with 200, so only what is kept is.
        """
        try:
            body = await _body(request)
            if body is None:
                return JSONResponse({"error": "too long"}, 413)
            signatures = request.headers.getlist("x-paystack-signature")
            id = await self._settling.heard(body, signatures[0] if len(signatures) == 1 else "")
        except ClientDisconnect:
            return Response(status_code=400)
        except SignatureWrong:
            log.warning("webhook_refused", extra={"reason": "signature"})
            return JSONResponse({"error": "the signature is wrong"}, 401)
        except WebhookNotUnderstood as wrong:
            # It is signed, so sending it again would not help.
            log.warning("webhook_not_understood", extra={"reason": str(wrong)[:200]})
            return JSONResponse({"status": "not understood"})
        except Exception as error:
            return _told(error)
        task = BackgroundTask(self._processed, id) if id else None
        return JSONResponse({"status": "kept" if id else "known"}, background=task)

    async def _processed(self, id: str) -> None:
        try:
            await self._settling.process(id)
        except Exception as error:
            # It is kept: the loop will find it.
            log.warning("webhook_waits", extra={"event": id, "reason": str(error)[:200]})

    async def returned(self, request: Request) -> Response:
        """The payer is back: is it paid? Asked of the provider, never of the payer."""
        # Paystack says it twice, as reference and as trxref.
        references = set(request.query_params.getlist("reference"))
        if len(references) != 1:
            return _page("This page needs the reference of a payment.", 400)
        try:
            purchase = await self._settling.returned(references.pop()[:200])
        except Exception as error:
            return _told(error)
        if purchase is None:
            return _page("There is no payment with this reference.", 404)
        return _page(_words(purchase))


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            return None
    return bytes(body)


def _told(error: Exception) -> Response:
    reply = reply_to(error)
    if reply.status == 500:
        log.error("payment_door_failed", exc_info=error)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, reply.status, headers)


def _words(purchase: Purchase) -> str:
    credits = purchase.credits_purchased + purchase.bonus_credits
    paid = f"{purchase.currency} {show_money(purchase.amount_paid_minor, purchase.currency)}"
    return {
        "completed": f"Paid: {paid}. {credits} credits were added.",
        "refunded": f"This payment of {paid} was refunded.",
        "failed": f"The payment of {paid} did not come. Nothing was added.",
    }.get(
        purchase.payment_status,
        f"We are waiting for the payment of {paid}. The credits come by themselves when it is "
        "confirmed; you can close this page.",
    )


def _page(words: str, status: int = 200) -> HTMLResponse:
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Payment</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<p>{escape(words)}</p></html>"
    )
    headers = {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'",
        "referrer-policy": "no-referrer",
    }
    return HTMLResponse(html, status, headers)
