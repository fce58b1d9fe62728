"""
A stub of OpenAI's API: speaks as OpenAI does, bills exactly, and does as it is told.

For `gateway dev` without a key, for the tests (what was charged is held against what was
billed) and, lean, for the benchmarks. As a process of its own:

    python -m gateway.dev.stub_openai --port 9000 [--lean] [--billed FILE] [--latency-ms 50]

It prints its base URL when it is ready. `GET /stub/billed` gives the bills, `GET
/stub/health` answers when it is up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

import uvloop

from gateway.dev import stub_bills
from gateway.dev import stub_replies as replies
from gateway.dev.stub_asked import Asked, Received
from gateway.dev.stub_bills import Bill, Bills
from gateway.dev.stub_chat import KNOWN_MODEL, Chat, in_its_tier, read_call
from gateway.dev.stub_lean import LeanStub
from gateway.dev.stub_objects import Objects
from gateway.dev.stub_refused import Refused
from gateway.dev.stub_routes import ROUTES, SOCKETS
from gateway.dev.stub_script import ScriptWrong, from_call
from gateway.dev.stub_scripted import Scripted
from gateway.dev.stub_server import Receive, Scope, Send, serving
from gateway.dev.stub_ws import StubSocket, accept, refuse

MODELS = (
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.4-nano",
    "gpt-5.5",
    "gpt-5.6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-6-astra",
    "gpt-6-luna",
    "gpt-6-sol",
    "gpt-6.1-sol",
    "gpt-6.1-terra",
    "gpt-6.2-astra",
    "gpt-6.2-sol",
    "o3",
)

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
    f"{replies.KEYS_PAGE}."
)


class StubOpenAI(Scripted):
    """
    The stub, as an ASGI app.

    It answers as it was told (`Scripted`); a call can also bring a script of its own
    (`stub_script.from_call`), which goes before.

    Attributes:
        requests: Every request that arrived, refused ones too.
        sockets: Every websocket that was opened.
        bills: What our account was charged.
        objects: What it keeps, for whoever knows an id.
        base_url: As in "http://127.0.0.1:40123/v1", while it is served.
    """

    def __init__(self, *, api_key: str | None = None, bills: Bills | None = None) -> None:
        super().__init__()
        self.requests: list[Received] = []
        self.sockets: list[StubSocket] = []
        self.bills = bills or Bills()
        self.objects = Objects()
        self.base_url = ""
        self._api_key = api_key
        self._arrival = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls, *, host: str = "127.0.0.1", port: int = 0, api_key: str | None = None
    ) -> AsyncIterator[Self]:
        """A stub that listens; port 0 lets the system choose."""
        stub = cls(api_key=api_key)
        async with serving(stub, host=host, port=port) as origin:
            stub.base_url = f"{origin}/v1"
            yield stub

    @property
    def billed(self) -> list[Bill]:
        """Every bill, in the order they were made out."""
        return self.bills.all

    async def received(self, count: int) -> list[Received]:
        """Wait until so many requests have arrived."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        assert scope["type"] == "http", "start it with lifespan off"
        request = await _read(scope, receive)
        if request.path.startswith("/stub/"):
            await self._tell(request.path, send)
            return
        async with self._arrival:
            self.requests.append(request)
            self._arrival.notify_all()
        try:
            self._check_key(request)
            served = ROUTES.get((request.method, request.path))
            if request.path == "/v1/chat/completions" and request.method == "POST":
                await self._chat(request, scope, receive, send)
            elif served is not None:
                transaction = request.header(b"x-client-request-id").decode("latin-1")
                await served(
                    Asked(
                        request,
                        scope,
                        receive,
                        send,
                        self.bills,
                        transaction,
                        self.next_script,
                        self.objects.jobs,
                    )
                )
            elif request.path.startswith("/v1/models") and request.method == "GET":
                await _send_json(send, 200, _models(request.path))
            else:
                words = f"Invalid URL ({request.method} {request.path})"
                if not await self._about_objects(request, scope, receive, send):
                    raise Refused(404, words)
        except Refused as refused:
            await _send_json(send, refused.status, refused.body)
        except ScriptWrong as wrong:
            await _send_json(send, 400, replies.error(400, message=str(wrong)))

    async def _about_objects(
        self, request: Received, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        transaction = request.header(b"x-client-request-id").decode("latin-1")
        return await self.objects.answer(
            Asked(request, scope, receive, send, self.bills, transaction, self.next_script)
        )

    async def _chat(self, request: Received, scope: Scope, receive: Receive, send: Send) -> None:
        fields = read_call(request.body)
        script = in_its_tier(fields, from_call(fields, self.next_script()))
        transaction = request.header(b"x-client-request-id").decode("latin-1")
        await Chat(scope, receive, send, self.bills, transaction, fields, script).answer()

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = SOCKETS.get(scope["path"])
        request = Received("WS", scope["path"], list(scope["headers"]), b"")
        async with self._arrival:
            self.requests.append(request)
            self._arrival.notify_all()
        try:
            self._check_key(request)
            if session is None:
                raise Refused(404, f"Invalid URL (GET {request.path})")
        except Refused as refused:
            await refuse(refused.status, refused.body, receive, send)
            return
        socket = await accept(scope, receive, send)
        async with self._arrival:
            self.sockets.append(socket)
            self._arrival.notify_all()
        await session(socket, receive, send, self.bills, self.next_script).run()

    async def socket(self, number: int = 0) -> StubSocket:
        """Wait until so many websockets were opened before this one, and give it."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.sockets) > number)
        return self.sockets[number]

    def _check_key(self, request: Received) -> None:
        kind, _, key = request.header(b"authorization").decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not key:
            raise Refused(401, NO_KEY)
        if self._api_key is not None and key != self._api_key:
            shown = f"{key[:7]}{'*' * 8}{key[-4:]}" if len(key) > 12 else "*" * len(key)
            words = f"Incorrect API key provided: {shown}. You can find your API key at "
            raise Refused(401, f"{words}{replies.KEYS_PAGE}.", code="invalid_api_key")

    async def _tell(self, path: str, send: Send) -> None:
        if path == "/stub/billed":
            await _send_json(send, 200, stub_bills.as_json(self.billed))
        elif path == "/stub/health":
            await _send_json(send, 200, b'{"status": "up"}')
        else:
            await _send_json(send, 404, replies.error(404, message=f"no {path} here"))


def _models(path: str) -> bytes:
    name = path.removeprefix("/v1/models").removeprefix("/")
    if not name:
        return replies.models(iter(MODELS))
    if not KNOWN_MODEL.fullmatch(name):
        raise Refused(404, f"The model '{name}' does not exist", code="model_not_found")
    return replies.model(name)


async def _read(scope: Scope, receive: Receive) -> Received:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body, path = b"".join(parts), scope["path"]
    return Received(scope["method"], path, list(scope["headers"]), body, scope["query_string"])


async def _send_json(send: Send, status: int, body: bytes) -> None:
    headers = [*replies.headers(b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.dev.stub_openai", description="A stub of OpenAI's API."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: the system chooses; it is printed")
    parser.add_argument("--lean", action="store_true", help="one constant reply, for benchmarks")
    parser.add_argument("--billed", type=Path, help="append each bill to this file, as JSON")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="wait before each reply")
    parser.add_argument("--api-key", help="refuse every other key; else any will do")
    options = parser.parse_args(arguments)
    uvloop.run(_serve(_app(options), options.host, options.port))


def _app(options: argparse.Namespace) -> LeanStub | StubOpenAI:
    latency_s = options.latency_ms / 1000
    bills = Bills(options.billed) if options.billed else None
    if options.lean:
        return LeanStub(bills, latency_s=latency_s)
    stub = StubOpenAI(api_key=options.api_key, bills=bills)
    stub.changes(latency_s=latency_s)
    return stub


async def _serve(app: LeanStub | StubOpenAI, host: str, port: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with serving(app, host=host, port=port) as origin:
        print(f"{origin}/v1", flush=True)
        await ended.wait()


if __name__ == "__main__":
    main()
