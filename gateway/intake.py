"""Everything before the hold: who calls, for what, and the most that it may cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from gateway.authenticate import Authenticate
from gateway.endpoints import Endpoint
from gateway.errors import EndpointNotAllowed, Overloaded, RequestRefused
from gateway.metered_call import MeteredCall
from gateway.owning import Owning
from gateway.quote import Quotes
from gateway.read_call import (
    DECODE_HERE_BYTES,
    Headers,
    Receive,
    read_body,
    read_call,
    read_labels,
    read_name,
)
from gateway.read_multipart import read_multipart
from metering.call import Call
from storage.ids import new_id
from storage.keys import KeyHolder


class Intake:
    """Reads calls: those that are made, and those whose cost is only asked for."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        quotes: Quotes,
        owning: Owning,
        admits: Callable[[], bool],
        body_max_bytes: int,
    ) -> None:
        self._authenticate = authenticate
        self._quotes = quotes
        self._owning = owning
        self._admits = admits
        self._body_max_bytes = body_max_bytes

    async def read(self, headers: Headers, receive: Receive, endpoint: Endpoint) -> MeteredCall:
        """
        The call with its quote; nothing is held yet, and nothing was asked of Redis.

        Raises:
            GatewayError, MeteringError: It is refused, whatever the balance.
            ClientLeft: Its body will never be complete.
        """
        begun = monotonic()
        headers = list(headers)  # Trailers would be appended to the server's own list.
        holder = await self._authenticate(headers)
        if holder.scopes.endpoints and endpoint.name not in holder.scopes.endpoints:
            raise EndpointNotAllowed(
                f"this key may not use {endpoint.name}; ask for one with it in its scopes"
            )
        if not self._admits():
            raise Overloaded("finished calls are waiting to be stored; try again in a moment")
        waits_since = monotonic()
        if endpoint.body == "multipart":
            call, body = await self._read_multipart(headers, receive, endpoint)
            begun += monotonic() - waits_since
        else:
            body = await read_body(headers, receive, most_bytes=self._body_max_bytes)
            begun += monotonic() - waits_since  # Sending it is the caller's time, not ours.
            call = await read_call(endpoint, body)
        try:
            return await self._quoted(headers, endpoint, call, body, holder=holder, begun=begun)
        except BaseException:
            if call.as_sent is not None:
                call.as_sent.close()
            raise

    async def read_body(self, headers: Headers, receive: Receive) -> bytes:
        """
        A JSON body, at most as long as any may be.

        Raises:
            BodyTooLarge, EncodingNotAccepted, ClientLeft
        """
        return await read_body(headers, receive, most_bytes=self._body_max_bytes)

    async def _read_multipart(
        self, headers: Headers, receive: Receive, endpoint: Endpoint
    ) -> tuple[Call, bytes]:
        """The call, and in place of its body the digest of it, for an Idempotency-Key."""
        return await read_multipart(
            endpoint.name,
            headers,
            receive,
            most_bytes=self._body_max_bytes,
            hashes=any(name == b"idempotency-key" for name, _ in headers),
        )

    async def _quoted(
        self,
        headers: Headers,
        endpoint: Endpoint,
        call: Call,
        body: bytes,
        *,
        holder: KeyHolder,
        begun: float,
    ) -> MeteredCall:
        labels = read_labels(headers, call.fields, holder.default_feature)
        foreign = await self._owning.look(call, holder)
        if call.body_bytes > DECODE_HERE_BYTES:
            quote = await asyncio.to_thread(self._quotes.quote, call, holder, labels)
        else:
            quote = self._quotes.quote(call, holder, labels)
        self._owning.refuse(foreign)
        await self._owning.must_be_there(call, holder)
        await self._quotes.check_feature_input(quote)
        if len(body) > DECODE_HERE_BYTES:
            name = await asyncio.to_thread(read_name, headers, endpoint, body, labels)
        else:
            name = read_name(headers, endpoint, body, labels)
        if name is not None and call.fields.get("background") is True:
            # Its reply is kept when it is settled, and that is long after it was answered.
            raise RequestRefused(
                "a response in the background takes no Idempotency-Key; leave one of them out",
                param="background",
            )
        return MeteredCall(new_id(), holder, quote, self._quotes, begun=begun, name=name)
