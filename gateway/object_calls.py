"""
Calls about objects that OpenAI keeps: for their owner, never charged, forwarded by the table.

The order is that of the main path: authenticate → may this business → read and check → whose
is it → forward → write down what was made → pass the reply on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import msgspec

from gateway.access_log import AccessLog
from gateway.authenticate import Authenticate
from gateway.endpoints import not_switched_on
from gateway.error_replies import reply_to
from gateway.errors import EndpointNotAllowed, UpstreamMisbehaved
from gateway.free_rates import FreeRates
from gateway.object_asked import ObjectAsked, read_asked
from gateway.object_lists import ObjectLists
from gateway.objects import ObjectOperation
from gateway.owning import Owning, made_by
from gateway.read_call import DECODE_HERE_BYTES, ClientLeft, Headers, read_body
from gateway.relay import Receive, Send
from gateway.reply import Reply
from gateway.tally import Tally
from gateway.upstream import UpstreamReply
from gateway.upstream_answers import ERROR_BODY_MOST_BYTES, our_fault, without_ours
from gateway.upstream_headers import reply_headers
from gateway.upstreams import Upstreams
from metering.responses.items import read_kept_items
from storage.errors import BusinessSuspended, RecordsUnavailable
from storage.ids import new_id
from storage.keys import KeyHolder
from storage.owners import Owned

log = logging.getLogger(__name__)

JSON_MOST_BYTES = 64 * 1024 * 1024

AfterReply = Callable[[KeyHolder, str, bytes], Awaitable[None]]
"""Is told the business, the id in the path and OpenAI's JSON before that is passed on."""


class ObjectCalls:
    """
    Serves what stands in the table of `objects.py`.

    Attributes:
        after: Name of an operation → who is to see its reply first. So a response that ran
            in the background can be settled by whoever asks for it or cancels it.
        before: The same, who is told before OpenAI is.
    """

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        owning: Owning,
        upstreams: Upstreams,
        rates: FreeRates,
        access_log: AccessLog,
        tally: Tally,
        body_max_bytes: int,
    ) -> None:
        self._authenticate = authenticate
        self._owning = owning
        self._upstreams = upstreams
        self._lists = ObjectLists(owning, upstreams)
        self._rates = rates
        self._access_log = access_log
        self._tally = tally
        self._body_max_bytes = body_max_bytes
        self.after: dict[str, AfterReply] = {}
        self.before: dict[str, Callable[[KeyHolder, str], Awaitable[None]]] = {}

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        operation: ObjectOperation,
        ids: dict[str, str],
    ) -> None:
        """Serve one call, whatever becomes of it."""
        began, id, answer = monotonic(), new_id(), Reply(send)
        holder: KeyHolder | None = None
        try:
            headers = list(scope["headers"])  # Trailers would be appended to the server's list.
            holder = await self._authenticate(headers)
            self.admit(holder, operation)
            asked = await self._read(operation, ids, scope["query_string"], headers, receive)
            await self.judge(asked, holder)
            if operation.lists and holder.upstream is None:
                page = await self._lists.page(operation, asked.query, holder)
                await answer.reply(200, _own_headers(id), page)
            else:
                await self._forward(asked, holder, answer, id)
        except ClientLeft:
            pass
        except Exception as error:
            await self._tell(error, answer, id)
        finally:
            self._note(operation, holder, answer, id, began)

    def admit(self, holder: KeyHolder, operation: ObjectOperation) -> None:
        """
        See that the business and its key may do this, and not too often.

        Raises:
            BusinessSuspended, EndpointNotAllowed, EndpointNotSupported, Limited,
            UpstreamNotConfigured
        """
        if holder.business_status != "active":
            raise BusinessSuspended("this business is suspended; ask the operator")
        if holder.scopes.endpoints and operation.name not in holder.scopes.endpoints:
            raise EndpointNotAllowed(
                f"this key may not use {operation.name}; ask for one with it in its scopes"
            )
        if holder.upstream is None and not operation.switches & holder.switches:
            raise not_switched_on(operation.method, operation.path, operation.switches)
        self._rates.take(holder)
        self._upstreams.of(holder)

    async def _read(
        self,
        operation: ObjectOperation,
        ids: dict[str, str],
        query: bytes,
        headers: Headers,
        receive: Receive,
    ) -> ObjectAsked:
        body = await read_body(headers, receive, most_bytes=self._body_max_bytes)
        if len(body) > DECODE_HERE_BYTES:
            return await asyncio.to_thread(read_asked, operation, ids, query, headers, body)
        return read_asked(operation, ids, query, headers, body)

    async def judge(self, asked: ObjectAsked, holder: KeyHolder) -> None:
        """Every id must be the business's; OpenAI keeps those of one with its own key apart."""
        if holder.upstream is not None:
            return
        foreign, _ = await self._owning.judge(holder.business, asked.references)
        self._owning.refuse(foreign)
        items = (asked.fields or {}).get("items")
        if items is not None:
            read_kept_items("items", items, holder.switches)
        if asked.operation.makes:
            await self._owning.ready()

    async def _forward(self, asked: ObjectAsked, holder: KeyHolder, answer: Reply, id: str) -> None:
        operation = asked.operation
        before = self.before.get(operation.name)
        if before is not None and asked.target is not None:
            await before(holder, asked.target)
        upstream = self._upstreams.of(holder)
        endpoint = upstream.endpoint(
            operation.method,
            asked.path,
            query=asked.query_string,
            accept=b"*/*",
            content_type=asked.content_type,
        )
        async with await upstream.open(endpoint, asked.packed(), transaction_id=id) as reply:
            if not 200 <= reply.status < 300:
                await self._pass_error(reply, answer, id)
                return
            headers = [*reply_headers(reply), *_request_id(reply, id)]
            if operation.makes or operation.json_reply or self._is_watched(operation, reply):
                body = await reply.read(JSON_MOST_BYTES)
                await self._see(asked, holder, body)
                await answer.reply(reply.status, headers, body)
                return
            if operation.deletes and asked.target is not None:
                await self._forget(holder, asked.target)
            await answer.start(reply.status, headers)
            async for chunk in reply.chunks():
                message = {"type": "http.response.body", "body": chunk, "more_body": True}
                await answer.send(message)
            await answer.end(b"")

    def _is_watched(self, operation: ObjectOperation, reply: UpstreamReply) -> bool:
        is_json = reply.header(b"content-type").startswith(b"application/json")
        return is_json and operation.name in self.after

    async def _see(self, asked: ObjectAsked, holder: KeyHolder, body: bytes) -> None:
        """Write down whose the reply's objects are, and show it to whoever waits for it."""
        if asked.operation.makes and holder.upstream is None:
            await self._own(asked.operation, holder, body)
        after = self.after.get(asked.operation.name)
        if after is not None and asked.target is not None:
            await after(holder, asked.target, body)

    async def _own(self, operation: ObjectOperation, holder: KeyHolder, body: bytes) -> None:
        made = _made(operation, holder, body)
        try:
            await self._owning.add(made)
        except RecordsUnavailable:
            for one in made:
                await self._owning.delete_at_openai(holder, one.id)
            raise

    async def _forget(self, holder: KeyHolder, id: str) -> None:
        try:
            await self._owning.forget(holder.business, id)
        except RecordsUnavailable as error:
            # OpenAI has deleted it all the same; whoever asks for it is told so by OpenAI.
            log.warning("deleted_object_kept", extra={"error": str(error)[:200]})

    async def _pass_error(self, reply: UpstreamReply, answer: Reply, id: str) -> None:
        body = await reply.read(ERROR_BODY_MOST_BYTES)
        fault = our_fault(reply.status, body)
        if fault is not None:
            raise fault
        self._tally.upstream_answered(reply.status)
        headers = [*reply_headers(reply), *_request_id(reply, id)]
        await answer.reply(reply.status, headers, without_ours(body))

    async def _tell(self, error: Exception, answer: Reply, id: str) -> None:
        self._tally.upstream_failed(error)
        said = reply_to(error)
        if said.status == 500:
            log.error("call_failed", exc_info=error)
        if answer.status is None:
            await answer.tell(said, request_id=id)
            self._tally.refused(said.code)
            return
        # What was begun has no place for an error: it ends without its end.
        answer.code = said.code
        raise error

    def _note(
        self,
        operation: ObjectOperation,
        holder: KeyHolder | None,
        answer: Reply,
        id: str,
        began: float,
    ) -> None:
        self._access_log.write(
            {
                "event": "call_finished",
                "endpoint": operation.name,
                "status": answer.status,
                "code": answer.code,
                "id": id,
                "business": holder.business if holder else None,
                "key": holder.key_id if holder else None,
                "processing_ms": round((monotonic() - began) * 1000),
            }
        )


def _made(operation: ObjectOperation, holder: KeyHolder, body: bytes) -> list[Owned]:
    """What a reply says was made; an upload that is complete has a file in it."""
    try:
        said = msgspec.json.decode(body)
        ids = [(said["id"], operation.makes)]
        if isinstance(said.get("file"), dict):
            ids.append((said["file"]["id"], "file"))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise UpstreamMisbehaved("OpenAI's reply does not name what it made") from None
    if not all(isinstance(id, str) and 0 < len(id) <= 200 for id, _ in ids):
        raise UpstreamMisbehaved("OpenAI's reply does not name what it made")
    return [made_by(holder, id, kind, feature=None) for id, kind in ids]


def _request_id(reply: UpstreamReply, id: str) -> Headers:
    return [] if reply.header(b"x-request-id") else [(b"x-request-id", id.encode())]


def _own_headers(id: str) -> Headers:
    return [(b"content-type", b"application/json"), (b"x-request-id", id.encode())]
