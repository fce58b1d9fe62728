"""LeanStub: a constant answer as fast as a Python server gives one, for the benchmarks."""

from __future__ import annotations

import asyncio

from gateway.dev import stub_bills
from gateway.dev import stub_replies as replies
from gateway.dev.stub_bills import Bills
from gateway.dev.stub_generation import Generation
from gateway.dev.stub_script import Script
from gateway.dev.stub_server import Receive, Scope, Send

MODEL = "gpt-6-sol"
WORDS = (" word",) * 32


class LeanStub:
    """
    The same reply to every call: 32 words, one token each; a stream has 32 events of text.

    Nothing is read of a call but whether it streams and asks for usage. It is billed only
    when bills are given.
    """

    def __init__(self, bills: Bills | None = None, *, latency_s: float = 0.0) -> None:
        self._bills = bills
        self._latency_s = latency_s
        generation = Generation(
            n=1,
            pieces=WORDS,
            tokens=(1,) * len(WORDS),
            finish_reason="stop",
            prompt_tokens=24,
            reasoning_tokens=0,
            script=Script(),
        )
        self._usage = generation.usage()
        body = replies.completion(generation, model=MODEL)
        self._body = _part(body)
        self._start = _start(b"application/json", len(body))
        self._stream_start = _start(b"text/event-stream; charset=utf-8", None)
        events = replies.Events(generation, model=MODEL, with_usage=False)
        self._events = [_part(event, more=True) for event in events.texts()]
        usage = replies.Events(generation, model=MODEL, with_usage=True).usage()
        self._usage_event = _part(usage, more=True)
        self._done = _part(replies.DONE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await self._tell(scope["path"], send)
            return
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        streams = b'"stream":true' in body
        if self._bills is not None:
            self._bill(scope, streams)
        if not streams:
            await send(self._start)
            await send(self._body)
            return
        await send(self._stream_start)
        for event in self._events:
            await send(event)
        if b'"include_usage":true' in body:
            await send(self._usage_event)
        await send(self._done)

    async def _tell(self, path: str, send: Send) -> None:
        known = {
            "/stub/health": b'{"status": "up"}',
            "/stub/billed": stub_bills.as_json(self._bills.all if self._bills else []),
        }
        body = known.get(path, replies.error(404))
        await send(_start(b"application/json", len(body), status=200 if path in known else 404))
        await send(_part(body))

    def _bill(self, scope: Scope, streams: bool) -> None:
        assert self._bills is not None
        transaction = dict(scope["headers"]).get(b"x-client-request-id", b"").decode("latin-1")
        self._bills.add(
            transaction=transaction,
            model=MODEL,
            tier="default",
            usage=self._usage,
            streamed=streams,
        )


def _part(body: bytes, *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _start(content_type: bytes, length: int | None, *, status: int = 200) -> dict[str, object]:
    kept = (b"content-type", b"openai-processing-ms", b"openai-version", b"x-request-id")
    headers = [pair for pair in replies.headers(content_type) if pair[0] in kept]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": status, "headers": headers}
