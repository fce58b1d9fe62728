"""
`WS /v1/realtime`: every response of a session is held before it can be made.

One that the caller asks for is held when it is asked for. Where OpenAI begins responses by
itself (turn detection), one hold is kept ready from the first audio on, and the next one is
held as soon as a response is done; without it no audio is passed on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import msgspec

from gateway.errors import GatewayError, RequestRefused
from gateway.metered_call import MeteredCall
from gateway.quote import Quote
from gateway.ws_errors import SessionEnds, broken, ends_of, passable
from gateway.ws_frames import Head, event_id_of, read_frame, read_head
from gateway.ws_talk import WITHOUT_OBJECTS, BaseTalk, Line, Running, encode
from gateway.ws_transcripts import Transcripts, call_of
from metering.call import Call
from metering.errors import CostNotBounded, MeteringError
from metering.realtime.fields import LIMITS, limit_of, read_event
from metering.realtime.heard import Heard
from metering.realtime.items import images_in
from metering.realtime.reply import RealtimeReader
from metering.realtime.session import Settings, limited
from metering.usage import OUTPUT_TOKENS, Unit
from storage.errors import StorageError
from storage.ids import new_id

ASKED_MOST = 16  # Responses under way on one socket; OpenAI makes one of a conversation's.


class RealtimeTalk(BaseTalk):
    """
    Decides about the frames of one realtime session.

    Args:
        quote: Of a response that says nothing: the model's row and the default limit.
        is_beta: The names of fields are those of the beta.
    """

    def __init__(self, line: Line, quote: Quote, *, is_beta: bool) -> None:
        super().__init__(line)
        assert line.holder is not None
        self._allowed = line.holder.switches & WITHOUT_OBJECTS
        self._quote = quote
        self._is_beta = is_beta
        self._settings = Settings()
        self._updates: list[str] = []
        self._heard = Heard()
        self._hears = False
        self._asked: deque[tuple[str, Running]] = deque()
        self._by_id: dict[str, Running] = {}
        self._ready: Running | None = None
        self._alone: Running | None = None
        self._getting_ready = asyncio.Lock()
        self._transcripts = Transcripts(self)
        self._has_answered = self._has_left = False

    # What the caller says.

    async def from_caller(self, frame: str | None) -> None:
        """Check it, hold what it may lead to, pass it on."""
        about = None
        try:
            fields = await read_frame(frame)
            about = event_id_of(fields)
            read_event(fields, self._allowed)
            assert frame is not None
            await self._pass_on(fields, len(frame))
        except (MeteringError, GatewayError, StorageError) as error:
            ends = ends_of(error)
            if ends is not None:
                raise ends from error
            await self.tell(error, about=about)

    async def _pass_on(self, fields: dict[str, Any], size: int) -> None:
        kind = fields["type"]
        if kind == "response.create":
            await self._create(fields)
            return
        if kind == "session.update":
            await self._update(fields)
            self._heard.add_text(size)
        elif kind in ("input_audio_buffer.append", "input_audio_buffer.commit"):
            self._heard.add_audio(len(fields.get("audio") or ""))
            self._hears = True
            await self._get_ready()
        elif kind == "conversation.item.create":
            self._take_item(fields, size)
        await self.line.upstream.send(encode(fields))

    def _take_item(self, fields: dict[str, Any], size: int) -> None:
        if any(images_in(fields)):
            if not self._quote.rate.prices(Unit.IMAGE_INPUT):
                raise CostNotBounded("input_image", f"{self._quote.row.id} has no price for images")
            self._heard.is_open = True
        self._heard.add_text(size)

    async def _update(self, fields: dict[str, Any]) -> None:
        """Let nothing into the session that changes its model or lifts its limit."""
        session = fields.get("session")
        if not isinstance(session, dict):
            raise RequestRefused("session.update needs a session", param="session")
        model = session.get("model")
        if model is not None and model != self.line.model:
            raise RequestRefused(
                "the model of a session is that of its websocket; open another one",
                param="session.model",
            )
        asked = self._settings.updated(session)
        if asked.limit is None:
            limited(session, self._quote.output_limit, is_beta=self._is_beta)
            asked = asked.updated(session)
        if asked.transcript is not None and asked.transcript != self._settings.transcript:
            holder = await self.line.admit()
            await self.line.calls.quote(call_of(asked.transcript), holder, self.line.labels)
        self._settings = self._settings.or_worse(asked)
        if self._settings.has_mcp:
            self._heard.is_open = True
            await self._get_ready()
        self._updates.append(fields.setdefault("event_id", f"event_{new_id()}"))

    async def _create(self, fields: dict[str, Any]) -> None:
        """Hold, and send what was metered."""
        if len(self._asked) + len(self._by_id) >= ASKED_MOST:
            raise RequestRefused("too many responses are under way; wait for one to be done")
        response = fields["response"] = dict(fields.get("response") or {})
        if limit_of(response) is None:
            response.pop(LIMITS[not self._is_beta], None)
            response[LIMITS[self._is_beta]] = self._settings.limit or "inf"
        name = fields.setdefault("event_id", f"event_{new_id()}")
        begun = await self.begin(self._call(fields, self._most_before()))
        self._about(begun.metered)
        if self.winds_up:
            self.unused(begun)
            return
        self._asked.append((name, begun))
        await self.send(begun, encode(begun.metered.quote.call.fields))

    def _call(self, fields: dict[str, Any], before: int | None) -> Call:
        size = len(encode(fields))
        call = Call("realtime", self.line.model, fields, streams=True, body_bytes=size)
        call.before_tokens = before
        return call

    def _most_before(self) -> int | None:
        """The most that the conversation holds when this response reads it."""
        before = self._heard.most_tokens
        if before is None:
            return None
        running = (begun.metered for begun in self.running if begun.metered.sent)
        return before + sum(metered.quote.output_limit for metered in running)

    # What is held before OpenAI begins something by itself.

    async def _get_ready(self) -> None:
        async with self._getting_ready:
            await self._transcripts.get_ready(self._settings.transcript if self._hears else None)
            settings = self._settings
            begins = settings.has_mcp or (settings.is_alone and self._hears)
            if not begins or self._ready or self._alone or self.winds_up:
                return
            limit = settings.limit or self._quote.row.max_output
            fields = {"type": "response.create", "response": {LIMITS[self._is_beta]: limit}}
            self._ready = await self.begin(self._call(fields, None), may_fit=False)
            self._about(self._ready.metered)

    def _not_ready_any_more(self) -> None:
        """Turn detection is off: nothing begins by itself."""
        settings = self._settings
        if self._ready is not None and not (settings.is_alone or settings.has_mcp):
            ready, self._ready = self._ready, None
            self.unused(ready)

    def _about(self, metered: MeteredCall) -> None:
        assert isinstance(metered.reader, RealtimeReader)
        metered.reader.about = self._heard.about

    # What OpenAI says.

    async def from_openai(self, frame: bytes) -> None:
        """Read it, settle what it ends, pass it on."""
        try:
            head = read_head(frame)
        except ValueError:
            raise broken("a frame of the upstream is not what it sends") from None
        kind = head.type if isinstance(head.type, str) else ""
        self._transcripts.take(kind, head.item_id, frame)
        ends: SessionEnds | None = None
        if kind.startswith("session."):
            self._take_session(kind, head, len(frame))
        elif kind == "error":
            self._take_error(head)
        elif kind.startswith("response."):
            ends = await self._take_response(kind, head, frame)
        elif kind == "input_audio_buffer.committed":
            ends = await self._try_ready()
        await self.line.caller.send(passable(head.type, frame))
        if ends is not None:
            raise ends

    def _take_session(self, kind: str, head: Head, size: int) -> None:
        try:
            session = msgspec.json.decode(head.session)
        except msgspec.DecodeError:
            return
        if not isinstance(session, dict):
            return
        self._heard.add_text(size)
        if kind == "session.updated" and self._updates:
            self._updates.pop(0)
        told = self._settings.updated(session)
        # While another update is under way, this one may be what it was before.
        self._settings = self._settings.or_worse(told) if self._updates else told
        self._not_ready_any_more()

    def _take_error(self, head: Head) -> None:
        """OpenAI refuses a frame; one that asked for a response gets its hold back."""
        name = head.error.event_id if head.error is not None else None
        if name in self._updates:
            self._updates.remove(name)
        for asked in list(self._asked):
            if asked[0] == name:
                self._asked.remove(asked)
                self.unused(asked[1], 400)

    async def _take_response(self, kind: str, head: Head, frame: bytes) -> SessionEnds | None:
        id = head.response.id if head.response is not None else head.response_id
        if not isinstance(id, str):
            return None
        begun = self._by_id.get(id)
        if begun is None:
            if head.response is None:
                return None  # A late word of one that is settled; it bills nothing more.
            begun = await self._begun(id)
        metered = begun.metered
        assert metered.reader is not None
        self.line.calls.seen(metered)
        metered.reader.feed(frame)
        if kind != "response.done":
            return None
        self._has_answered = True
        del self._by_id[id]
        reported = metered.reader.source == "reported"
        used = metered.reader.usage() if reported else metered.quote.most.usage()
        self._heard.output_tokens += sum(used[unit] for unit in OUTPUT_TOKENS)
        self.over(begun)
        if begun is self._alone:
            self._alone = None
        return await self._try_ready()

    async def _begun(self, id: str) -> Running:
        """The hold of a response that OpenAI has begun: asked for first, or kept ready."""
        if self._asked:
            _, begun = self._asked.popleft()
        elif self._ready is not None:
            begun, self._ready = self._ready, None
            self._alone = begun
            self.under_way(begun)
        else:
            raise broken("the upstream makes a response that nothing is held for")
        begun.id, self._by_id[id] = id, begun
        if self._has_left:
            await self._cancel(id)
        return begun

    async def _try_ready(self) -> SessionEnds | None:
        """Hold for what may come next; why the session ends where that cannot be."""
        if not self._hears and not self._settings.has_mcp:
            return None
        try:
            await self._get_ready()
        except SessionEnds as ends:
            return ends
        except (MeteringError, GatewayError, StorageError) as error:
            code = "credits_exhausted_midstream" if self._has_answered else None
            return ends_of(error, always=True, midstream=code)
        return None

    async def wind_up(self, *, is_left: bool) -> None:
        """Begin nothing new; for a caller who has left, what runs is cancelled, so it is billed."""
        self.winds_up = True
        self._has_left = is_left
        if is_left:
            for id in list(self._by_id):
                await self._cancel(id)

    async def _cancel(self, id: str) -> None:
        cancel = {"type": "response.cancel", "response_id": id}
        await self.line.upstream.send(encode(cancel))
