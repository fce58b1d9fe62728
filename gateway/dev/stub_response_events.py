"""What a response of OpenAI's looks like, whole and as a stream, as documented in November 2026."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.dev.stub_generation import Generation
from gateway.dev.stub_response_bills import used

FAILURE = {"code": "server_error", "message": "The server had an error. Sorry about that!"}


class Response:
    """One response: its object at any moment, and the events that tell how it comes about."""

    def __init__(self, generation: Generation, fields: Mapping[str, Any], *, model: str) -> None:
        self._generation = generation
        self._script = generation.script
        self._fields = fields
        self._number = -1
        self._id = f"resp_{secrets.token_hex(25)}"
        self._created = int(time.time())
        self._model = model
        self._before = [*self._tool_items(), *self._reasoning()]
        self._last = self._function() if self._script.tool else self._message()

    @property
    def status(self) -> str:
        """How it ends."""
        if self._script.ends != "completed":
            return "failed" if self._script.ends == "error" else self._script.ends
        return "incomplete" if self._generation.finish_reason == "length" else "completed"

    def as_json(self) -> bytes:
        """The whole reply to a call that does not stream."""
        return json.dumps(self._object(self.status), indent=2, ensure_ascii=False).encode()

    def opening(self) -> bytes:
        """The events before the first text."""
        events = [
            self._event("response.created", response=self._object("in_progress")),
            self._event("response.in_progress", response=self._object("in_progress")),
        ]
        for index, item in enumerate(self._before):
            events += self._whole_item(index, item)
        empty: dict[str, Any] = {**self._last, "status": "in_progress"}
        empty["arguments" if self._script.tool else "content"] = "" if self._script.tool else []
        events.append(self._item("added", len(self._before), empty))
        if not self._script.tool:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
            events.append(self._part("content_part.added", part=part))
        return b"".join(events)

    def texts(self) -> Iterator[bytes]:
        """One event for each piece of text."""
        for piece in self._generation.pieces:
            padding = secrets.token_urlsafe(6)
            if self._script.tool:
                kind = "response.function_call_arguments.delta"
                yield self._event(kind, **self._place(), delta=piece, obfuscation=padding)
            else:
                yield self._part("output_text.delta", delta=piece, logprobs=[], obfuscation=padding)

    def closing(self) -> bytes:
        """The events between the last text and the end."""
        if self._script.tool:
            kind = "response.function_call_arguments.done"
            done = [self._event(kind, **self._place(), arguments=self._generation.text)]
        else:
            text = self._generation.text
            done = [
                self._part("output_text.done", text=text, logprobs=[]),
                self._part("content_part.done", part=self._last["content"][0]),
            ]
        return b"".join([*done, self._item("done", len(self._before), self._last)])

    def last(self) -> bytes:
        """The event that ends the stream, with the whole response; or an error."""
        if self._script.ends == "error":
            return self._event("error", **FAILURE, param=None)
        return self._event(f"response.{self.status}", response=self._object(self.status))

    @property
    def id(self) -> str:
        """What it is called."""
        return self._id

    def object(self, status: str) -> dict[str, Any]:
        """The response as it is in a state."""
        return self._object(status)

    def _object(self, status: str) -> dict[str, Any]:
        fields, script = self._fields, self._script
        ended = status not in ("queued", "in_progress")
        tells = ended and status != "cancelled" and script.reports_usage
        found = used(self._generation, fields) if tells else None
        response: dict[str, Any] = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "completed_at": self._created if status == "completed" else None,
            "error": FAILURE if status == "failed" else None,
            "incomplete_details": (
                {"reason": "max_output_tokens"} if status == "incomplete" else None
            ),
            "instructions": fields.get("instructions"),
            "max_output_tokens": fields.get("max_output_tokens"),
            "max_tool_calls": fields.get("max_tool_calls"),
            "model": self._model,
            "output": [*self._before, self._last] if ended and status != "cancelled" else [],
            "parallel_tool_calls": fields.get("parallel_tool_calls", True),
            "previous_response_id": fields.get("previous_response_id"),
            "reasoning": {"effort": None, "summary": None} | (fields.get("reasoning") or {}),
            "service_tier": script.tier if ended else fields.get("service_tier", "auto"),
            "store": fields.get("store", True),
            "temperature": fields.get("temperature", 1.0),
            "text": fields.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": fields.get("tool_choice", "auto"),
            "tools": fields.get("tools") or [],
            "top_logprobs": 0,
            "top_p": fields.get("top_p", 1.0),
            "truncation": fields.get("truncation", "disabled"),
        }
        if found is not None and script.tells_tool_usage:
            response["tool_usage"] = found.tool_usage
        response["usage"] = found.usage if found is not None else None
        return response | {"user": None, "metadata": fields.get("metadata") or {}}

    def _tool_items(self) -> list[dict[str, Any]]:
        script = self._script
        search = {"type": "search", "query": "the weather in Accra", "queries": ["weather"]}
        opened = {"type": "open_page", "url": "https://example.com/"}
        searches = [
            _tool("ws", "web_search_call", action=search) for _ in range(script.web_searches)
        ]
        if searches:
            searches.append(_tool("ws", "web_search_call", action=opened))
        files = [
            _tool("fs", "file_search_call", queries=["terms"], results=None)
            for _ in range(script.file_searches)
        ]
        # Code that runs twice in one container is billed once.
        containers = [f"cntr_{secrets.token_hex(20)}" for _ in range(script.containers)]
        runs = [
            _tool("ci", "code_interpreter_call", code="1 + 1", container_id=name, outputs=None)
            for name in containers * 2
        ]
        return [*searches, *files, *runs]

    def _reasoning(self) -> list[dict[str, Any]]:
        if not self._generation.reasoning_tokens:
            return []
        return [{"id": _id("rs"), "type": "reasoning", "summary": []}]

    def _message(self) -> dict[str, Any]:
        text = self._generation.text
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        return {
            "id": _id("msg"),
            "type": "message",
            "status": "incomplete" if self.status == "incomplete" else "completed",
            "content": [part],
            "role": "assistant",
        }

    def _function(self) -> dict[str, Any]:
        assert self._script.tool is not None
        return {
            "id": _id("fc"),
            "type": "function_call",
            "status": "completed",
            "arguments": self._generation.text,
            "call_id": f"call_{secrets.token_hex(12)}",
            "name": self._script.tool[0],
        }

    def _whole_item(self, index: int, item: dict[str, Any]) -> list[bytes]:
        """The events of an item without text: it is added, it works, it is done."""
        kind = item["type"]
        place = {"output_index": index, "item_id": item["id"]}
        states = {
            "web_search_call": ("in_progress", "searching", "completed"),
            "file_search_call": ("in_progress", "searching", "completed"),
            "code_interpreter_call": ("in_progress", "interpreting", "completed"),
        }.get(kind, ())
        between = [self._event(f"response.{kind}.{state}", **place) for state in states]
        added = self._item("added", index, item)
        return [added, *between, self._item("done", index, item)]

    def _item(self, what: str, index: int, item: dict[str, Any]) -> bytes:
        return self._event(f"response.output_item.{what}", output_index=index, item=item)

    def _part(self, kind: str, **more: Any) -> bytes:
        return self._event(f"response.{kind}", **self._place(), content_index=0, **more)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._last["id"], "output_index": len(self._before)}

    def _event(self, kind: str, **more: Any) -> bytes:
        self._number += 1
        data = {"type": kind, "sequence_number": self._number, **more}
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        return f"event: {kind}\ndata: {text}\n\n".encode()


def _tool(prefix: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"id": _id(prefix), "type": kind, "status": "completed", **more}


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(25)}"
