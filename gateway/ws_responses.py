"""
`WS /v1/responses`: response after response over one websocket, each held before it is made.

OpenAI makes them one at a time, in the order they are asked for, and so do we: those that
wait are kept here until the one before has been settled, so each hold covers one response.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

from gateway.errors import GatewayError, RequestRefused
from gateway.ws_errors import broken, passable
from gateway.ws_frames import Head, event_id_of, read_frame, read_head
from gateway.ws_protocol import FRAME_MOST_BYTES
from gateway.ws_talk import BaseTalk, Line, Running, encode
from metering.call import Call
from metering.errors import CostNotBounded, MeteringError
from storage.errors import StorageError
from storage.keys import KeyHolder

log = logging.getLogger(__name__)

WAITING_MOST = 8  # Frames that ask for a response while another one is under way.
OWN_MOST = 100  # Responses of this socket that a later one may continue.

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
STEERING = "a response that is steered goes on as another one, which nothing is held for"


class ResponsesTalk(BaseTalk):
    """Decides about the frames of one websocket of `/v1/responses`."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._waiting: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue()
        self._waiting_bytes = 0
        self._own: OrderedDict[str, int] = OrderedDict()
        self._current: Running | None = None

    def beside(self) -> list[Coroutine[Any, Any, None]]:
        """What asks for one response after the other."""
        return [self._create_in_turn()]

    async def from_caller(self, frame: str | None) -> None:
        """Queue what asks for a response; nothing else is passed on."""
        about = None
        try:
            fields = await read_frame(frame)
            about = event_id_of(fields)
            if fields["type"] == "response.steer":
                raise CostNotBounded("response.steer", STEERING)
            if fields["type"] != "response.create":
                raise RequestRefused("a frame of this websocket is a response.create", param="type")
            assert frame is not None
            self._queue(fields, len(frame))
        except (MeteringError, GatewayError) as error:
            await self.tell(error, about=about)

    def _queue(self, fields: dict[str, Any], size: int) -> None:
        is_full = self._waiting_bytes + size > FRAME_MOST_BYTES and self._waiting_bytes
        if self._waiting.qsize() >= WAITING_MOST or is_full:
            raise RequestRefused("too many responses wait for their turn; send it again later")
        self._waiting_bytes += size
        self._waiting.put_nowait((fields, size))

    async def _create_in_turn(self) -> None:
        while True:
            fields, size = await self._waiting.get()
            self._waiting_bytes -= size
            if self.winds_up:
                continue
            about = fields.pop("event_id", None)
            try:
                await self._create(fields, about)
            except (MeteringError, GatewayError, StorageError) as error:
                await self.tell(error, about=about)
            await self.idle.wait()

    async def _create(self, fields: dict[str, Any], about: str | None) -> None:
        """Hold, and send what was metered."""
        kind = fields.pop("type")
        generate = fields.pop("generate", None)
        if generate not in (None, True, False):
            raise RequestRefused("generate must be true or false", param="generate")
        fields.pop("stream", None)  # It always does here.
        if fields.get("background"):
            raise CostNotBounded("background", "a response over a websocket runs while it is open")
        call = _read(fields)
        begun = await self.begin(call, also=self._continued(call))
        if self.winds_up:
            self.unused(begun)
            return
        frame = {"type": kind, **begun.metered.quote.call.fields}
        if generate is not None:
            frame["generate"] = generate
        if about is not None:
            frame["event_id"] = about
        self._current = begun
        await self.send(begun, encode(frame))

    async def look(self, call: Call, holder: KeyHolder) -> None:
        """
        Whose objects a call names, beside the response of this socket that it continues.

        Raises:
            ObjectUnknown, RecordsUnavailable, RequestRefused
        """
        previous = call.fields.get("previous_response_id")
        before = self._own.get(previous) if isinstance(previous, str) else None
        if before is not None:
            del call.fields["previous_response_id"]
        foreign = await self.line.owning.look(call, holder)
        self.line.owning.refuse(foreign)
        if before is not None:
            call.fields["previous_response_id"] = previous
            call.before_tokens = before

    def _continued(self, call: Call) -> frozenset[str]:
        """
        What a call may do besides, where it continues a response of this very socket.

        That one was made here, for this caller, and what it had in and out is known.
        """
        previous = call.fields.get("previous_response_id")
        if not isinstance(previous, str) or previous not in self._own or call.fields.get("store"):
            return frozenset()
        return frozenset({"stored"})

    async def from_openai(self, frame: bytes) -> None:
        """Read it, settle what it ends, pass it on."""
        try:
            head = read_head(frame)
        except ValueError:
            raise broken("a frame of the upstream is not what it sends") from None
        current = self._current
        if current is not None:
            self._watch(current, head, frame)
        elif head.response is not None:
            raise broken("the upstream makes a response that nobody asked for")
        await self.line.caller.send(passable(head.type, frame))

    def _watch(self, current: Running, head: Head, frame: bytes) -> None:
        metered = current.metered
        assert metered.reader is not None
        if head.type == "error" and not metered.delivered:
            self._current = None
            status = head.status
            self.unused(current, status if type(status) is int and 400 <= status < 600 else 400)
            return
        self.line.calls.seen(metered)
        metered.reader.feed(b"data: " + frame.replace(b"\n", b" ") + b"\n\n")
        if head.type in ENDS or head.type == "error":
            self._current = None
            self._keep(head, current)
            self.over(current)

    def _keep(self, head: Head, current: Running) -> None:
        """Remember a response that a later one of this socket may continue."""
        id = head.response.id if head.response is not None else None
        if not isinstance(id, str) or current.metered.reader is None:
            return
        reader, most = current.metered.reader, current.metered.quote.most.tokens
        self._own[id] = reader.usage().tokens if reader.source == "reported" else most
        if len(self._own) > OWN_MOST:
            self._own.popitem(last=False)


def _read(fields: dict[str, Any]) -> Call:
    model = fields.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 128:
        raise RequestRefused("the frame names no model; send `model` as a text", param="model")
    return Call("responses", model, fields, streams=True, body_bytes=len(encode(fields)))
