"""`GET /metrics`, where the admin API is and behind a token like it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.metrics import Metrics

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Scrape:
    """What Prometheus asks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(Request(scope)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("use GET\n", 405, {"allow": "GET, HEAD"})
        return Response(await self._metrics.text(), headers={"content-type": CONTENT_TYPE})


class Beside:
    """The admin API, and `/metrics` beside it; each has its own door."""

    def __init__(self, admin: ASGIApp, metrics: ASGIApp) -> None:
        self._admin = admin
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._metrics if scope.get("path") == PATH else self._admin
        await app(scope, receive, send)
