"""
The door of the admin API: nobody passes without the admin token, whatever they ask for.

It stands before the routes, so that a path that is forgotten, unknown or misspelt is
closed too. Only what the token proves is believed: `X-Admin-User` is the name that the
holder of the token gives for the audit log.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Iterable
from hashlib import sha256

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin.refusals import (
    AdminDisabled,
    AdminRefusal,
    FieldRefused,
    TokenWrong,
    refusal_reply,
)
from gateway.error_replies import ErrorReply
from storage.ids import new_id

_BEARER = re.compile(rb"[Bb]earer +([!-~]{1,512})")
_USER = re.compile(rb"[!-~]([ -~]{0,98}[!-~])?")

log = logging.getLogger(__name__)


class Door:
    """
    Checks the token, then lets the call through to `inside`.

    Args:
        token_digests: SHA-256 of each token that opens it; None where one is not set.
    """

    def __init__(self, inside: ASGIApp, *token_digests: bytes | None) -> None:
        self._inside = inside
        self._token_digests = [digest for digest in token_digests if digest is not None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        assert scope["type"] == "http", "the admin app has no lifespan of its own"
        reply = _Reply(send)
        try:
            scope.setdefault("state", {})["who"] = self._who(scope["headers"])
            await self._inside(scope, receive, reply)
        except ClientDisconnect:
            return
        except Exception as error:
            if not isinstance(error, AdminRefusal):
                log.error("admin_call_failed", exc_info=error)
            if not reply.has_begun:
                await reply.refuse(refusal_reply(error))

    def _who(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        if not self._token_digests:
            raise AdminDisabled(
                "the admin API is closed, because no admin token is set; set "
                "GATEWAY__ADMIN__TOKEN, or token under [admin] in config.toml, to at least "
                "22 random characters"
            )
        given = [value for name, value in headers if name == b"authorization"]
        found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        digest = sha256(found[1] if found else b"").digest()
        opens = [hmac.compare_digest(digest, one) for one in self._token_digests]
        if not any(opens) or not found:
            raise TokenWrong("send the header `Authorization: Bearer …` with the admin token")
        users = [value for name, value in headers if name == b"x-admin-user"]
        if not users:
            return "admin"
        if len(users) > 1 or not _USER.fullmatch(users[0]):
            raise FieldRefused(
                "X-Admin-User: should be 1 to 100 printable ASCII characters, sent once",
                param="X-Admin-User",
            )
        return f"admin:{users[0].decode()}"


class _Reply:
    """Passes a reply on with the headers that every reply of the admin API has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            own = [
                (b"x-request-id", new_id().encode()),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
            there = {name for name, _ in message["headers"]}
            more = [header for header in own if header[0] not in there]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)

    async def refuse(self, reply: ErrorReply) -> None:
        """Send an error in the envelope."""
        length = (b"content-length", str(len(reply.body)).encode())
        await self(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [*reply.headers, length],
            }
        )
        await self({"type": "http.response.body", "body": reply.body})
