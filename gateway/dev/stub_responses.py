"""Responses of the stub OpenAI: created, compacted, and their input counted."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.dev.stub_asked import Asked
from gateway.dev.stub_chat import KNOWN_MODEL, Chat
from gateway.dev.stub_generation import Generation, generate
from gateway.dev.stub_jobs import Job
from gateway.dev.stub_refused import Refused
from gateway.dev.stub_response_bills import used
from gateway.dev.stub_response_events import Response
from gateway.dev.stub_script import from_call

LEAST_OUTPUT = 16


async def create(asked: Asked) -> None:
    """`POST /v1/responses`."""
    fields = _read(asked.request.body)
    limit = fields.get("max_output_tokens")
    if limit is not None and (type(limit) is not int or limit < LEAST_OUTPUT):
        words = f"Invalid 'max_output_tokens': integer below minimum value. Expected >= 16: {limit}"
        raise Refused(400, words, code="integer_below_min_value", param="max_output_tokens")
    await _call(asked, fields, "responses").answer()


async def compact(asked: Asked) -> None:
    """`POST /v1/responses/compact`."""
    await _call(asked, _read(asked.request.body), "responses.compact").answer()


async def count(asked: Asked) -> None:
    """`POST /v1/responses/input_tokens`, which is free."""
    fields = _read(asked.request.body)
    call = _call(asked, fields, "responses.input_tokens")
    generation = await generate(_as_chat(fields), call.script)
    body = {"object": "response.input_tokens", "input_tokens": generation.prompt_tokens}
    await call._send_whole(200, json.dumps(body).encode())


@dataclass(frozen=True)
class ResponseCall(Chat):
    """One response on its way; who waits, breaks and fails does so as a chat completion."""

    endpoint: str = "responses"
    jobs: dict[str, Any] = field(default_factory=dict)

    async def _send_completion(self, generation: Generation) -> None:
        if not self.fields.get("background"):
            await super()._send_completion(generation)
            return
        job = self._begin(generation, Response(generation, self.fields, model=self._model))
        await self._send_whole(200, self.script.body or job.as_json())

    def _begin(self, generation: Generation, response: Response) -> Job:
        """Go on in the background."""
        job = Job(response, polls=self.script.polls, bill=lambda: self._bill(generation))
        self.jobs[response.id] = job
        return job

    async def _generate(self) -> Generation:
        return await generate(_as_chat(self.fields), self.script)

    def _whole(self, generation: Generation) -> bytes:
        if self.endpoint == "responses.compact":
            return _compaction(generation, self.fields)
        return Response(generation, self.fields, model=self._model).as_json()

    async def _stream(self, generation: Generation) -> None:
        response = Response(generation, self.fields, model=self._model)
        in_background = self.fields.get("background")
        job = self._begin(generation, response) if in_background else None
        await self._start(200, b"text/event-stream; charset=utf-8")
        await self._send(response.opening())
        for sent, event in enumerate(response.texts()):
            if sent == self.script.breaks_after:
                if job is None:
                    self._bill(generation, cut_after=sent)
                self._break()
                return
            await self._pause()
            await self._send(event)
        if job is None:
            self._bill(generation)
        else:
            job.finish()
        if self.script.ends != "error":
            await self._send(response.closing())
        if self.script.before_usage is not None:
            await self.script.before_usage.wait()
        await self._send(response.last() if self.script.says_done else b"", more=False)

    def _bill(self, generation: Generation, cut_after: int | None = None) -> None:
        if cut_after is not None and not self.script.bills_cut:
            return
        found = used(generation, self.fields, cut_after)
        self.bills.add(
            transaction=self.transaction,
            model=self._model,
            tier=self.script.tier,
            usage=found.usage,
            streamed=bool(self.fields.get("stream")),
            cut=cut_after is not None,
            endpoint=self.endpoint,
            units=found.units,
        )


def _call(asked: Asked, fields: Mapping[str, Any], endpoint: str) -> ResponseCall:
    return ResponseCall(
        asked.scope,
        asked.receive,
        asked.send,
        asked.bills,
        asked.transaction,
        fields,
        from_call(fields, asked.next_script()),
        endpoint,
        asked.jobs,
    )


def _read(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        raise Refused(400, "Missing required parameter: 'model'.", param="model")
    if not KNOWN_MODEL.fullmatch(fields["model"]):
        words = f"The requested model '{fields['model']}' does not exist."
        raise Refused(400, words, code="model_not_found", param="model")
    if fields.get("input") is None and not fields.get("previous_response_id"):
        raise Refused(400, "Missing required parameter: 'input'.", param="input")
    return fields


def _as_chat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same prompt as a chat completion, so that both are counted alike."""
    items = fields.get("input")
    listed = items if isinstance(items, list) else [{"role": "user", "content": items or ""}]
    messages = [_message(item) for item in listed]
    if fields.get("instructions"):
        messages.insert(0, {"role": "developer", "content": fields["instructions"]})
    return {
        "model": fields["model"],
        "messages": messages,
        "tools": fields.get("tools"),
        "response_format": (fields.get("text") or {}).get("format"),
        "max_completion_tokens": fields.get("max_output_tokens"),
    }


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    if "role" in item:
        return {"role": item["role"], "content": item.get("content")}
    content = item.get("output")
    if isinstance(content, list):
        return {"role": "tool", "content": content}
    texts = (item[key] for key in ("name", "arguments", "input", "output") if item.get(key))
    return {"role": "tool", "content": "".join(map(str, texts))}


def _of_user(item: Mapping[str, Any]) -> dict[str, Any]:
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"type": "input_text", "text": content}]
    about = {"id": f"msg_{secrets.token_hex(20)}", "type": "message", "status": "completed"}
    return about | {"role": "user", "content": parts}


def _compaction(generation: Generation, fields: Mapping[str, Any]) -> bytes:
    """The users' messages, and one item that stands for all the rest."""
    items = fields.get("input")
    listed = items if isinstance(items, list) else []
    kept = [_of_user(item) for item in listed if item.get("role") == "user"]
    blob = "gAAAAAB" + secrets.token_urlsafe(48)
    compacted = {"id": f"cmp_{secrets.token_hex(20)}", "type": "compaction"}
    body: dict[str, Any] = {
        "id": f"resp_{secrets.token_hex(25)}",
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*kept, {**compacted, "encrypted_content": blob}],
    }
    if generation.script.reports_usage:
        body["usage"] = used(generation, fields).usage
    return json.dumps(body, indent=2, ensure_ascii=False).encode()
