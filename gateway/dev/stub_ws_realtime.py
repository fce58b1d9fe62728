"""
`WS /v1/realtime` of the stub: a session that hears, speaks, and bills exactly.

With turn detection on, a second of audio is a turn: it is committed, perhaps written down,
and answered without being asked.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from gateway.dev.stub_script import Script
from gateway.dev.stub_ws import Session, counted, new_id

TURN_BYTES = 48_000  # A second of PCM.
HEARD_BYTES = 4_800  # A token that is heard: 100 ms.
SPOKEN_BYTES = 2_400  # A token that is spoken: 50 ms.
SPOKEN_A_PIECE = 3

Kinds = dict[str, int]


class RealtimeSession(Session):
    """One session, with its settings and its conversation."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.settings: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": new_id("sess"),
            "model": self.socket.query.partition("model=")[2],
            "output_modalities": ["audio"],
            "instructions": "Be kind.",
            "tools": [],
            "max_output_tokens": "inf",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "turn_detection": {"type": "server_vad", "create_response": True},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
        }
        self.context: Kinds = {"text": counted("Be kind."), "audio": 0}
        self.cached: Kinds = {"text": 0, "audio": 0}
        self.current: Spoken | None = None
        self._buffer = 0

    async def begin(self) -> None:
        """OpenAI tells the session first."""
        await self.say("session.created", session=self.settings)

    async def take(self, frame: dict[str, Any]) -> None:
        """Answer a frame."""
        match frame["type"]:
            case "session.update":
                await self._update(frame["session"])
            case "input_audio_buffer.append":
                self._buffer += len(base64.b64decode(frame["audio"]))
                if self.hearing["turn_detection"] and self._buffer >= TURN_BYTES:
                    await self._turn()
            case "input_audio_buffer.commit":
                await self._commit()
            case "conversation.item.create":
                await self._item(frame["item"])
            case "response.create":
                await self._create(frame)
            case "response.cancel" if self.current is not None:
                self.current.cancelled.set()

    @property
    def hearing(self) -> dict[str, Any]:
        """The settings of what is heard."""
        hearing: dict[str, Any] = self.settings["audio"]["input"]
        return hearing

    async def _update(self, session: dict[str, Any]) -> None:
        audio = session.pop("audio", {})
        self.settings |= session
        for side, settings in audio.items():
            self.settings["audio"][side] |= settings
        self.context["text"] += counted(json.dumps([session.get("instructions") or ""]))
        await self.say("session.updated", session=self.settings)

    async def _item(self, item: dict[str, Any]) -> None:
        for part in item.get("content", [item]):
            if "audio" in part:
                self.context["audio"] += len(base64.b64decode(part["audio"])) // HEARD_BYTES
            else:
                self.context["text"] += counted(json.dumps(part))
        await self.say("conversation.item.added", item={"id": new_id("item"), **item})

    async def _turn(self) -> None:
        await self.say("input_audio_buffer.speech_stopped", audio_end_ms=1000, item_id="item_1")
        await self._commit()
        if self.hearing["turn_detection"].get("create_response", True) and self.current is None:
            self._speak({}, self.next_script())

    async def _commit(self) -> None:
        item, heard = new_id("item"), self._buffer // HEARD_BYTES
        self.context["audio"] += heard
        self._buffer = 0
        await self.say("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        if (transcription := self.hearing["transcription"]) is not None:
            await self._transcribe(item, transcription["model"], heard)

    async def _transcribe(self, item: str, model: str, heard: int) -> None:
        written = counted("Hello there.")
        if model == "whisper-1":
            usage: dict[str, Any] = {"type": "duration", "seconds": heard / 10}
            units = {"audio_milliseconds": heard * 100}
        else:
            details = {"text_tokens": 0, "audio_tokens": heard}
            usage = {
                "type": "tokens", "input_tokens": heard, "input_token_details": details,
                "output_tokens": written, "total_tokens": heard + written,
            }  # fmt: skip
            units = {"audio_input": heard, "output": written}
        self._bill("realtime.transcripts", item, model, usage, units)
        await self.say(
            "conversation.item.input_audio_transcription.completed",
            item_id=item,
            content_index=0,
            transcript="Hello there.",
            usage=usage,
        )

    async def _create(self, frame: dict[str, Any]) -> None:
        script = self.next_script()
        if script.status != 200 or self.current is not None:
            code = script.code or "conversation_already_has_active_response"
            error = {
                "type": "invalid_request_error", "code": code, "message": "no",
                "param": None, "event_id": frame.get("event_id"),
            }  # fmt: skip
            await self.say("error", error=error)
            return
        self._speak(frame.get("response") or {}, script)

    def _speak(self, asked: dict[str, Any], script: Script) -> None:
        self.current = Spoken(self, asked, script)
        self.start(self.current.tell())

    def bill_response(self, spoken: Spoken, *, cut: bool) -> None:
        """Charge for a response, and let the conversation grow by it."""
        cached, read = dict(spoken.cached), spoken.read
        units = {
            "input": read["text"] - cached["text"],
            "cached_input": cached["text"],
            "audio_input": read["audio"] - cached["audio"],
            "cached_audio_input": cached["audio"],
            "output": spoken.text,
            "audio_output": spoken.audio,
        }
        model = self.settings["model"]
        self._bill("realtime", spoken.id, model, spoken.usage(), units, cut=cut)
        self.cached = dict(read)
        self.context["text"] += spoken.text
        self.context["audio"] += spoken.audio // 2

    def _bill(
        self, endpoint: str, id: str, model: str, usage: Any, units: Kinds, *, cut: bool = False
    ) -> None:
        self.bills.add(
            transaction=id, model=model, tier="default", usage=usage, streamed=True, cut=cut,
            endpoint=endpoint, units=units,
        )  # fmt: skip


class Spoken:
    """One response on its way."""

    def __init__(self, session: RealtimeSession, asked: dict[str, Any], script: Script) -> None:
        self.id = new_id("resp")
        self.text = self.audio = 0
        self.read = dict(session.context)
        self.cached = {kind: min(session.cached[kind], self.read[kind]) for kind in self.read}
        self.cancelled = asyncio.Event()
        self._session = session
        self._script = script
        modalities = asked.get("output_modalities") or session.settings["output_modalities"]
        self._speaks = "audio" in modalities
        limit = asked.get("max_output_tokens") or session.settings["max_output_tokens"]
        self._limit = limit if isinstance(limit, int) else 4096
        self._billed = False

    async def tell(self) -> None:
        """Speak it, event by event."""
        script, session = self._script, self._session
        try:
            if script.gate is not None:
                await script.gate.wait()
            await session.say("response.created", response=self._response("in_progress"))
            for number, piece in enumerate(script.pieces):
                if script.breaks_after == number:
                    await session.close(1011)
                if script.between is not None and not self.cancelled.is_set():
                    await self._first(script.between.wait())
                if self.cancelled.is_set():
                    break
                await self._piece(piece)
            if script.worst:
                self.audio = self._limit - self.text
            if script.before_usage is not None:
                await self._first(script.before_usage.wait())
            if script.says_done:
                await self._done()
        finally:
            if not self._billed and script.bills_cut:
                self._billed = True
                session.bill_response(self, cut=True)
            session.current = None

    async def _done(self) -> None:
        self._billed = True
        self._session.bill_response(self, cut=False)
        self._session.current = None
        status = "cancelled" if self.cancelled.is_set() else "completed"
        response = self._response(status)
        response["usage"] = self.usage() if self._script.reports_usage else None
        await self._session.say("response.done", response=response)
        if self._script.unasked:
            await self._session.say("response.created", response=self._response("in_progress"))

    async def _first(self, gate: Any) -> None:
        """Wait at a gate, unless it is cancelled before."""
        waits = [asyncio.ensure_future(gate), asyncio.ensure_future(self.cancelled.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _piece(self, piece: str) -> None:
        place = {"response_id": self.id, "item_id": "item_o", "output_index": 0, "content_index": 0}
        self.text += counted(piece)
        if not self._speaks:
            await self._session.say("response.output_text.delta", delta=piece, **place)
            return
        self.audio += SPOKEN_A_PIECE
        sound = base64.b64encode(bytes(SPOKEN_A_PIECE * SPOKEN_BYTES)).decode()
        await self._session.say("response.output_audio_transcript.delta", delta=piece, **place)
        await self._session.say("response.output_audio.delta", delta=sound, **place)

    def usage(self) -> Any:
        """OpenAI's usage object."""
        if self._script.usage is not None:
            return dict(self._script.usage)
        total = self.read["text"] + self.read["audio"]
        return {
            "total_tokens": total + self.text + self.audio,
            "input_tokens": total,
            "output_tokens": self.text + self.audio,
            "input_token_details": {
                "text_tokens": self.read["text"],
                "audio_tokens": self.read["audio"],
                "image_tokens": 0,
                "cached_tokens": self.cached["text"] + self.cached["audio"],
                "cached_tokens_details": {
                    "text_tokens": self.cached["text"],
                    "audio_tokens": self.cached["audio"],
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": self.text, "audio_tokens": self.audio},
        }

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [],
            "conversation_id": "conv_1",
            "max_output_tokens": self._limit,
            "usage": None,
        }
