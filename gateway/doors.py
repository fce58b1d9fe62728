"""
The two doors: /v1 for businesses, found by one look-up; everything else through Starlette.

No `Request`, `Route` or `Response` of Starlette stands on the way of a call.
"""

from __future__ import annotations

import logging
from typing import Any

from msgspec.json import encode
from starlette.types import ASGIApp

from gateway import objects
from gateway.authenticate import Authenticate
from gateway.endpoints import METERED, PREFIX, refuse, refuse_upgrade
from gateway.error_replies import ErrorReply, reply_to
from gateway.errors import PathUnknown, RequestRefused
from gateway.object_calls import ObjectCalls
from gateway.payments.doors import PATHS as PAYMENT_PATHS
from gateway.portal.routes import Asking, Portal
from gateway.proxy import Proxy
from gateway.read_call import ClientLeft
from gateway.relay import Receive, Send
from gateway.scrape import PATH as METRICS
from gateway.tally import Tally
from gateway.tool_intake import tool_endpoint
from gateway.ws_door import Sockets
from storage.ids import new_id

log = logging.getLogger(__name__)

Scope = dict[str, Any]


class Doors:
    """
    Sends every request to whom it concerns, and refuses the rest in OpenAI's envelope.

    Args:
        tools: The main path of what is billed by the use, without a model.
        portal: What the gateway answers itself under /v1.
        others: The Starlette app for what is neither /v1 nor /admin.
        allowed_hosts: Host names to listen to; empty for all.
    """

    def __init__(
        self,
        *,
        proxy: Proxy,
        tools: Proxy,
        object_calls: ObjectCalls,
        authenticate: Authenticate,
        portal: Portal,
        sockets: Sockets,
        admin: ASGIApp | None,
        others: ASGIApp,
        allowed_hosts: frozenset[str],
        tally: Tally,
    ) -> None:
        self._proxy = proxy
        self._tools = tools
        self._objects = object_calls
        self._authenticate = authenticate
        self._portal = portal
        self._sockets = sockets
        self._admin = admin
        self._others = others
        self._allowed_hosts = allowed_hosts
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        if self._allowed_hosts and not self._is_for_us(scope):
            await _send(send, reply_to(RequestRefused("this host name is not served here")))
            return
        endpoint = METERED.get((scope["method"], path))
        if endpoint is not None and "upgrade" not in scope.get("state", ()):
            await self._proxy(scope, receive, send, endpoint)
        elif path == "/v1" or path.startswith(("/v1/", "/portal/")):
            await self._serve_v1(scope, path, receive, send)
        elif path == "/admin" or path.startswith("/admin/") or path == METRICS:
            await self._serve_admin(scope, receive, send)
        elif path in OTHERS:
            await self._others(scope, receive, send)  # type: ignore[arg-type]
        else:
            await _send(send, reply_to(_unknown(scope["method"], path)))

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A websocket; `ws_protocol.py` lets only those of the table come so far."""
        if self._allowed_hosts and not self._is_for_us(scope):
            error = RequestRefused("this host name is not served here")
            await self._sockets.refuse(error, receive, send)
            return
        await self._sockets(scope, receive, send)

    async def _serve_v1(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """What the gateway answers itself, and the reasons for what nobody answers."""
        headers = list(scope["headers"])  # Trailers would be appended to the server's own list.
        try:
            if any(name == b"upgrade" for name, _ in headers):
                raise refuse_upgrade(path)
            if (found := objects.find(scope["method"], path)) is not None:
                await self._serve_object(scope, receive, send, *found)
                return
            holder = await self._authenticate(headers)
            answer = self._portal.find(scope["method"], path)
            if answer is None:
                raise refuse(scope["method"], path, methods=objects.methods_of(path))
            said = await answer(Asking(holder, scope["query_string"], headers, receive))
        except ClientLeft:
            return
        except Exception as error:
            reply = reply_to(error)
            if reply.status == 500:
                log.error("request_failed", exc_info=error)
            self._tally.refused(reply.code)
            await _send(send, reply)
            return
        await _send(send, ErrorReply(200, [(b"content-type", b"application/json")], encode(said)))

    async def _serve_object(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        operation: objects.ObjectOperation,
        ids: dict[str, str],
    ) -> None:
        if operation in objects.PRICED:
            endpoint = tool_endpoint(operation, ids, scope["query_string"])
            await self._tools(scope, receive, send, endpoint)
        else:
            await self._objects(scope, receive, send, operation, ids)

    async def _serve_admin(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._admin is None:
            error = PathUnknown(
                "the admin API has a listener of its own, and /metrics with it; "
                "see [admin] in config.toml"
            )
            await _send(send, reply_to(error))
            return
        await self._admin(scope, receive, send)  # type: ignore[arg-type]

    def _is_for_us(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        return hosts[0].decode("latin-1").rsplit(":", 1)[0].lower() in self._allowed_hosts


OTHERS = PAYMENT_PATHS | {"/healthz", "/readyz"}
"""Open to everybody: they tell nothing of any business, and payments are signed or asked for."""


def _unknown(method: str, path: str) -> Exception:
    with_prefix = f"{PREFIX}{path}"
    served = objects.methods_of(with_prefix)
    if not isinstance(refuse(method, with_prefix, methods=served), PathUnknown):
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
