"""
The door of websockets: who may open one, what for, and how many.

Everything that can be refused is refused before the websocket is accepted, as HTTP in
OpenAI's envelope, and OpenAI is connected before that too; so a caller that is let in talks to
OpenAI. What `realtime.py` then passes on is decided by the `Talk` of the endpoint.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.authenticate import Authenticate
from gateway.endpoints import SOCKETS, SocketEndpoint, refuse_upgrade
from gateway.error_replies import ErrorReply, reply_to
from gateway.errors import EndpointNotAllowed, EndpointNotSupported, Overloaded
from gateway.holding import Holding
from gateway.owning import Owning
from gateway.quote import Quote
from gateway.read_call import read_labels
from gateway.realtime import Caller, Talk, converse
from gateway.relay import Drains, Receive, Send
from gateway.tally import Tally
from gateway.upstream_socket import UpstreamRefused, UpstreamSocket, UpstreamSockets
from gateway.ws_calls import SocketCalls
from gateway.ws_errors import refusal_messages
from gateway.ws_handshake import Handshake, read_handshake
from gateway.ws_realtime import RealtimeTalk
from gateway.ws_responses import ResponsesTalk
from gateway.ws_talk import Line
from metering.call import Call
from storage.errors import Limited
from storage.ids import new_id
from storage.keys import KeyHolder

log = logging.getLogger(__name__)

OF_A_BUSINESS_MOST = 200
"""Websockets of one business in one process; one may be idle for an hour."""


@dataclass(frozen=True, slots=True)
class _Opening:
    """What was found out of a handshake that is let in."""

    id: str
    endpoint: SocketEndpoint
    handshake: Handshake
    holder: KeyHolder
    quote: Quote | None


class Sockets:
    """
    Lets websockets in.

    Args:
        most: Of all businesses, in this process.
    """

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        admits: Callable[[], bool],
        calls: SocketCalls,
        holding: Holding,
        upstream: UpstreamSockets,
        drains: Drains,
        tally: Tally,
        owning: Owning,
        total_timeout_s: float,
        out_of_credits_status: int,
        most: int,
    ) -> None:
        self._authenticate = authenticate
        self._admits = admits
        self._calls = calls
        self._holding = holding
        self._upstream = upstream
        self._drains = drains
        self._tally = tally
        self._owning = owning
        self._total_timeout_s = total_timeout_s
        self._out_of_credits_status = out_of_credits_status
        self._most = most
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one websocket, whatever becomes of it."""
        await receive()  # websocket.connect
        id = new_id()
        counted: str | None = None
        try:
            opening = await self._read(scope, id)
            counted = self._count(opening.holder.business)
            upstream = await self._upstream.open(
                opening.endpoint.path,
                opening.handshake.query,
                headers=opening.handshake.upstream_headers,
                id=id,
            )
        except Exception as error:
            self._uncount(counted)
            await self._refuse(error, id, send)
            return
        try:
            await _accept(send, opening, upstream)
            caller = Caller(receive, send)
            await converse(caller, upstream, self._talk(opening, caller, upstream), self._drains)
        finally:
            self._uncount(counted)
            await upstream.close()

    async def refuse(self, error: Exception, receive: Receive, send: Send) -> None:
        """Refuse one that is not even read."""
        await receive()
        await self._refuse(error, new_id(), send)

    async def _read(self, scope: dict[str, Any], id: str) -> _Opening:
        path = scope["raw_path"].decode("latin-1")
        endpoint = SOCKETS.get(path)
        if endpoint is None:
            raise refuse_upgrade(path)
        handshake = read_handshake(scope, queries=endpoint.queries)
        holder = await self._authenticate(handshake.headers)
        if holder.scopes.endpoints and endpoint.name not in holder.scopes.endpoints:
            raise EndpointNotAllowed(
                f"this key may not use {endpoint.name}; ask for one with it in its scopes"
            )
        if endpoint.switch is not None and endpoint.switch not in holder.switches:
            raise EndpointNotSupported(
                f"websockets of {path} are served to those for whom {endpoint.switch!r} is "
                "switched on; ask your provider"
            )
        if holder.upstream is not None:
            raise refuse_upgrade(path)  # Its own key is one for HTTPS.
        if not self._admits():
            raise Overloaded("finished calls are waiting to be stored; try again in a moment")
        quote = await self._quote(endpoint, handshake, holder)
        await self._holding.check_credits(holder)
        return _Opening(id, endpoint, handshake, holder, quote)

    async def _quote(
        self, endpoint: SocketEndpoint, handshake: Handshake, holder: KeyHolder
    ) -> Quote | None:
        """What a response of this session may cost, where the handshake names its model."""
        model = handshake.query.get("model")
        labels = read_labels(handshake.headers, {}, holder.default_feature)
        if model is None:
            return None
        fields: dict[str, Any] = {"type": "response.create", "response": {}}
        call = Call(endpoint.name, model, fields, streams=True, body_bytes=64)
        call.before_tokens = None
        return await self._calls.quote(call, holder, labels)

    def _talk(self, opening: _Opening, caller: Caller, upstream: UpstreamSocket) -> Talk:
        handshake, holder = opening.handshake, opening.holder

        async def admit() -> KeyHolder:
            if not self._admits():
                raise Overloaded("finished calls are waiting to be stored; try again in a moment")
            return await self._authenticate(handshake.headers)

        line = Line(
            caller=caller,
            upstream=upstream,
            calls=self._calls,
            admit=admit,
            labels=read_labels(handshake.headers, {}, holder.default_feature),
            owning=self._owning,
            total_timeout_s=self._total_timeout_s,
            out_of_credits_status=self._out_of_credits_status,
            model=handshake.query.get("model", ""),
            holder=holder,
        )
        if opening.quote is None:
            return ResponsesTalk(line)
        return RealtimeTalk(line, opening.quote, is_beta="realtime=v1" in handshake.beta)

    def _count(self, business: str) -> str:
        if self._open[business] >= OF_A_BUSINESS_MOST:
            raise Limited(
                f"this business has {OF_A_BUSINESS_MOST} websockets open; close one",
                retry_after_s=5,
                which="concurrent",
            )
        if self._open.total() >= self._most:
            raise Overloaded("so many websockets are open that no more can be served now")
        self._open[business] += 1
        return business

    def _uncount(self, business: str | None) -> None:
        if business is not None:
            self._open[business] -= 1
            if not self._open[business]:
                del self._open[business]

    async def _refuse(self, error: Exception, id: str, send: Send) -> None:
        said = self._said(error)
        self._tally.refused(said.code)
        for message in refusal_messages(said, id):
            await send(message)

    def _said(self, error: Exception) -> ErrorReply:
        if isinstance(error, UpstreamRefused):
            self._tally.upstream_answered(error.reply.status)
            return error.reply
        self._tally.upstream_failed(error)
        said = reply_to(error, out_of_credits_status=self._out_of_credits_status)
        if said.status == 500:
            log.error("websocket_failed", exc_info=error)
        return said


async def _accept(send: Send, opening: _Opening, upstream: UpstreamSocket) -> None:
    request_id = upstream.request_id or opening.id
    headers = [(b"x-request-id", request_id.encode("latin-1", "replace"))]
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": opening.handshake.protocol,
            "headers": headers,
        }
    )
