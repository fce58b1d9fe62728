"""`WS /v1/responses` of the stub: one response after the other, billed exactly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.dev.stub_script import Script, from_call
from gateway.dev.stub_ws import Session, counted, new_id


class ResponsesSession(Session):
    """Makes responses in the order they are asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._before: dict[str, int] = {}

    async def begin(self) -> None:
        """Nothing is said first; what is asked for waits for its turn."""
        self.start(self._in_turn())

    async def take(self, frame: dict[str, Any]) -> None:
        """Queue a response."""
        if frame.get("type") == "response.create":
            self._asked.put_nowait(frame)

    async def _in_turn(self) -> None:
        while True:
            frame = await self._asked.get()
            said = {"messages": [{"content": frame.get("input")}]}
            await self._make(frame, from_call(said, self.next_script()))

    async def _make(self, frame: dict[str, Any], script: Script) -> None:
        if script.status != 200:
            error = {"type": "invalid_request_error", "code": script.code, "message": "no"}
            await self.say("error", status=script.status, error=error)
            return
        previous = frame.get("previous_response_id")
        if previous is not None and previous not in self._before:
            error = {
                "type": "invalid_request_error",
                "code": "previous_response_not_found",
                "message": f"Previous response with id '{previous}' not found.",
                "param": "previous_response_id",
            }
            await self.say("error", status=400, error=error)
            return
        await _Made(self, frame, script, self._before).tell()
        if script.unasked:
            await self.say("response.created", response={"id": new_id("resp"), "usage": None})


class _Made:
    """One response on its way."""

    def __init__(
        self, session: Session, frame: dict[str, Any], script: Script, before: dict[str, int]
    ) -> None:
        self._session = session
        self._frame = frame
        self._script = script
        self._before = before
        self._id = new_id("resp")
        self._written = 0
        self._billed = False
        said = json.dumps([frame.get("input"), frame.get("instructions")], ensure_ascii=False)
        self._input = counted(said) + before.get(frame.get("previous_response_id") or "", 0)

    async def tell(self) -> None:
        """Write it, event by event."""
        script = self._script
        try:
            if script.gate is not None:
                await script.gate.wait()
            if script.hangs:
                await asyncio.Event().wait()
            await self._session.say("response.created", response=self._response("in_progress"))
            pieces = script.pieces if self._frame.get("generate") is not False else ()
            for number, piece in enumerate(pieces):
                if script.breaks_after == number:
                    await self._session.close(1011)
                if script.between is not None:
                    await script.between.wait()
                if script.delay_s:
                    await asyncio.sleep(script.delay_s)
                self._written += counted(piece)
                await self._session.say(
                    "response.output_text.delta",
                    item_id="msg_1",
                    output_index=0,
                    content_index=0,
                    delta=piece,
                    sequence_number=number,
                    logprobs=[],
                )
            if script.worst:
                self._written = self._frame["max_output_tokens"]
            if script.before_usage is not None:
                await script.before_usage.wait()
            if script.says_done:
                self._bill(cut=False)
                usage = self._usage() if script.reports_usage else None
                response = self._response("completed") | {"usage": usage}
                await self._session.say("response.completed", response=response)
            else:
                await asyncio.Event().wait()
        finally:
            if not self._billed and script.bills_cut:
                self._bill(cut=True)

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": 1_780_000_000,
            "status": status,
            "model": self._script.model or self._frame["model"],
            "service_tier": self._script.tier,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }

    def _usage(self) -> dict[str, Any]:
        if self._script.usage is not None:
            return dict(self._script.usage)
        return {
            "input_tokens": self._input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self._written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self._input + self._written,
        }

    def _bill(self, *, cut: bool) -> None:
        self._billed = True
        self._before[self._id] = self._input + self._written
        self._session.bills.add(
            transaction=self._id,
            model=self._frame["model"],
            tier="default",
            usage=self._usage(),
            streamed=True,
            cut=cut,
            endpoint="responses",
            units={"input": self._input, "output": self._written},
        )
