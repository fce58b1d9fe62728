"""
The two doors: /v1 for businesses, found by one look-up; everything else through Starlette.

No `Request`, `Route` or `Response` of Starlette stands on the way of a call.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.types import ASGIApp

from gateway.authenticate import Authenticate
from gateway.endpoints import METERED, PREFIX, model_in, refuse, refuse_upgrade
from gateway.errors import ErrorReply, PathUnknown, RequestRefused, reply_to
from gateway.proxy import Proxy
from gateway.relay import Receive, Send
from storage.ids import new_id
from storage.keys import KeyHolder

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Answer = Callable[[KeyHolder], Awaitable[Any]]


class Doors:
    """
    Sends every request to whom it concerns, and refuses the rest in OpenAI's envelope.

    Args:
        own: What the gateway answers itself: raw path → answer.
        show_model: Answers GET /v1/models/{model}.
        others: The Starlette app for what is neither /v1 nor /admin.
        allowed_hosts: Host names to listen to; empty for all.
    """

    def __init__(
        self,
        *,
        proxy: Proxy,
        authenticate: Authenticate,
        own: dict[str, Answer],
        show_model: Callable[[str, KeyHolder], Awaitable[Any]],
        admin: ASGIApp | None,
        others: ASGIApp,
        allowed_hosts: frozenset[str],
    ) -> None:
        self._proxy = proxy
        self._authenticate = authenticate
        self._own = own
        self._show_model = show_model
        self._admin = admin
        self._others = others
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        if self._allowed_hosts and not self._is_for_us(scope):
            await _send(send, reply_to(RequestRefused("this host name is not served here")))
            return
        endpoint = METERED.get((scope["method"], path))
        if endpoint is not None and "upgrade" not in scope.get("state", ()):
            await self._proxy(scope, receive, send, endpoint)
        elif path == "/v1" or path.startswith("/v1/"):
            await self._serve_v1(scope, path, send)
        elif path == "/admin" or path.startswith("/admin/"):
            await self._serve_admin(scope, receive, send)
        elif path in OTHERS:
            await self._others(scope, receive, send)  # type: ignore[arg-type]
        else:
            await _send(send, reply_to(_unknown(scope["method"], path)))

    async def _serve_v1(self, scope: Scope, path: str, send: Send) -> None:
        """What the gateway answers itself, and the reasons for what nobody answers."""
        try:
            if any(name == b"upgrade" for name, _ in scope["headers"]):
                raise refuse_upgrade(path)
            holder = await self._authenticate(scope["headers"])
            answer = await self._own_answer(scope["method"], path, holder)
        except Exception as error:
            reply = reply_to(error)
            if reply.status == 500:
                log.error("request_failed", exc_info=error)
            await _send(send, reply)
            return
        headers = [(b"content-type", b"application/json")]
        await _send(send, ErrorReply(200, headers, msgspec.json.encode(answer)))

    async def _own_answer(self, method: str, path: str, holder: KeyHolder) -> Any:
        if method == "GET":
            if path in self._own:
                return await self._own[path](holder)
            model = model_in(path)
            if model is not None:
                return await self._show_model(model, holder)
        raise refuse(method, path)

    async def _serve_admin(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._admin is None:
            error = PathUnknown(
                "the admin API has a listener of its own; see [admin] in config.toml"
            )
            await _send(send, reply_to(error))
            return
        await self._admin(scope, receive, send)  # type: ignore[arg-type]

    def _is_for_us(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        return hosts[0].decode("latin-1").rsplit(":", 1)[0].lower() in self._allowed_hosts


OTHERS = frozenset({"/healthz", "/readyz"})
"""Open to everybody: they tell nothing of any business."""


def _unknown(method: str, path: str) -> Exception:
    with_prefix = f"{PREFIX}{path}"
    if not isinstance(refuse(method, with_prefix), PathUnknown):
        return PathUnknown(
            f"there is no {path} here; did you mean {with_prefix}? The base URL ends in {PREFIX}"
        )
    return PathUnknown(f"there is no {ascii(path[:100])} here")


async def _send(send: Send, reply: ErrorReply) -> None:
    headers = [
        *reply.headers,
        (b"x-request-id", new_id().encode()),
        (b"content-length", b"%d" % len(reply.body)),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
