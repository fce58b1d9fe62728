"""One chat completion of the stub OpenAI: checked, written, billed and sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.dev import stub_replies as replies
from gateway.dev.stub_bills import Bills
from gateway.dev.stub_generation import Generation, generate
from gateway.dev.stub_refused import Refused, read_object, unknown_model
from gateway.dev.stub_script import Script
from gateway.dev.stub_server import Receive, Scope, Send, close_connection
from gateway.dev.stub_units import units_of

KNOWN_MODEL = re.compile(r"(gpt-|chatgpt-|codex-|ft:|o\d).*")
MOST_CHOICES = 128


def read_call(body: bytes) -> dict[str, Any]:
    """
    The fields of a chat completion.

    Raises:
        Refused: It is not one that OpenAI would answer.
    """
    fields = read_object(body)
    model, messages, n = fields["model"], fields.get("messages"), fields.get("n")
    if not KNOWN_MODEL.fullmatch(model):
        raise unknown_model(model)
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "Missing required parameter: 'messages'.", param="messages")
    if not all(isinstance(message, dict) and "role" in message for message in messages):
        raise Refused(400, "Missing required parameter: 'messages[0].role'.", param="messages")
    if n is not None and (type(n) is not int or not 1 <= n <= MOST_CHOICES):
        raise Refused(400, "Invalid 'n': expected an integer from 1 to 128.", param="n")
    for name in ("max_completion_tokens", "max_tokens"):
        limit = fields.get(name)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise Refused(400, f"Invalid '{name}': expected an integer of 1 or more.", param=name)
    if fields.get("prediction") is not None and fields.get("max_completion_tokens") is not None:
        words = "Unsupported parameter: 'max_completion_tokens' is not supported with 'prediction'."
        raise Refused(400, words, code="unsupported_parameter", param="max_completion_tokens")
    if fields.get("metadata") is not None and not fields.get("store"):
        words = "The 'metadata' parameter is only allowed when 'store' is enabled."
        raise Refused(400, words, param="metadata")
    return fields


def in_its_tier(fields: Mapping[str, Any], script: Script) -> Script:
    """The script, served in the tier that was asked for unless it names another."""
    asked = fields.get("service_tier") or "default"
    if script.tier != "default" or asked == "auto":
        return script
    return replace(script, tier="priority" if asked == "fast" else asked)


@dataclass(frozen=True)
class Chat:
    """One call on its way: where its reply goes, and who is billed for it."""

    scope: Scope
    receive: Receive
    send: Send
    bills: Bills
    transaction: str
    fields: Mapping[str, Any]
    script: Script

    async def answer(self) -> None:
        """Do what the script says."""
        script = self.script
        if script.gate is not None:
            await script.gate.wait()
        if script.latency_s:
            await asyncio.sleep(script.latency_s)
        if script.status != 200:
            body = script.body or replies.error(script.status, code=script.code)
            await self._send_whole(script.status, body)
            return
        generation = await self._generate()
        if script.closes or script.hangs:
            self._bill(generation, cut_after=0)
            if script.hangs:
                await self._until_they_leave()
            close_connection(self.scope)
        elif self.fields.get("stream"):
            await self._stream(generation)
        else:
            await self._send_completion(generation)

    async def _generate(self) -> Generation:
        return await generate(self.fields, self.script)

    async def _send_completion(self, generation: Generation) -> None:
        body = self.script.body or self._whole(generation)
        if self.script.breaks_after is None:
            self._bill(generation)
            await self._send_whole(200, body)
            return
        self._bill(generation, cut_after=len(generation.tokens) * generation.n)
        await self._start(200, b"application/json", len(body))
        await self._send(body[: len(body) // 2])
        self._break()

    def _whole(self, generation: Generation) -> bytes:
        return replies.completion(generation, model=self._model)

    async def _stream(self, generation: Generation) -> None:
        """
        Send event by event.

        The model writes to its end, and all of it is billed, whether or not somebody still
        reads: it is billed after the last text and before the usage is told.
        """
        stream_options = self.fields.get("stream_options") or {}
        events = replies.Events(
            generation,
            model=self._model,
            with_usage=bool(stream_options.get("include_usage")),
        )
        await self._start(200, b"text/event-stream; charset=utf-8")
        await self._send(events.opening())
        for sent, event in enumerate(events.texts()):
            if sent == self.script.breaks_after:
                self._bill(generation, cut_after=sent)
                self._break()
                return
            await self._pause()
            await self._send(event)
        self._bill(generation)
        await self._send(events.closing())
        if self.script.before_usage is not None:
            await self.script.before_usage.wait()
        await self._send(events.usage())
        await self._send(replies.DONE if self.script.says_done else b"", more=False)

    async def _pause(self) -> None:
        script = self.script
        if script.between is not None:
            await script.between.wait()
        # Also without a delay: the loop gets its turn, so chunks leave one by one.
        await asyncio.sleep(script.delay_s)

    def _bill(self, generation: Generation, cut_after: int | None = None) -> None:
        """Charge for all of it, or for what was written when it was cut."""
        if cut_after is not None and not self.script.bills_cut:
            return
        self.bills.add(
            transaction=self.transaction,
            model=self._model,
            tier=self.script.tier,
            usage=generation.usage(cut_after),
            streamed=bool(self.fields.get("stream")),
            cut=cut_after is not None,
            units=units_of(generation.usage(cut_after)) | _searches(generation),
        )

    @property
    def _model(self) -> str:
        return self.script.model or str(self.fields["model"])

    def _break(self) -> None:
        close_connection(self.scope)

    async def _until_they_leave(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def _send_whole(self, status: int, body: bytes) -> None:
        await self._start(status, b"application/json", len(body))
        await self._send(body, more=False)

    async def _start(self, status: int, content_type: bytes, length: int | None = None) -> None:
        scripted = {name.lower() for name, _ in self.script.headers}
        headers = [pair for pair in replies.headers(content_type) if pair[0] not in scripted]
        headers += self.script.headers
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _send(self, data: bytes, *, more: bool = True) -> None:
        if data or not more:
            await self.send({"type": "http.response.body", "body": data, "more_body": more})


def _searches(generation: Generation) -> dict[str, int]:
    """How many are billed: those that the script says, else one for a call that searches."""
    count = generation.script.searches
    count = generation.heard.searches if count is None else count
    return {"web_searches": count} if count else {}
