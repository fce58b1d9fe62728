"""The text of a response, and the tools it used, for when OpenAI reports no usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from metering.responses.usage import ToolCalls
from metering.text_seen import TextSeen


class _Event(msgspec.Struct, gc=False):
    """What an event of text can have; which of it is there depends on the type."""

    type: Any = None
    output_index: Any = 0
    content_index: Any = 0
    summary_index: Any = 0
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    code: Any = None
    item: Any = None


class _Reply(msgspec.Struct, gc=False):
    output: Any = None


_event = msgspec.json.Decoder(_Event)
_reply = msgspec.json.Decoder(_Reply)

_AUDIO = "response.audio"  # Bytes of sound, no text.


class ResponseText(TextSeen):
    """All text of one response, by output item and kind, and the calls of OpenAI's tools."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = ToolCalls()

    def calls(self) -> ToolCalls:
        """The calls of tools that were seen."""
        self._reduce()
        return self._calls

    def _take_event(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        kind = event.type if isinstance(event.type, str) else ""
        index = _number(event.output_index)
        if isinstance(event.item, dict):
            self._take_item(index, event.item, is_whole=kind == "response.output_item.done")
            return
        name, _, end = kind.rpartition(".")
        place = (index, name, _number(event.content_index) + _number(event.summary_index))
        if end == "delta" and name != _AUDIO:
            self._keep(place, event.delta)
        elif end == "done":
            for text in (event.text, event.refusal, event.arguments, event.input, event.code):
                self._keep_whole(place, text)

    def _take_reply(self, body: bytes) -> None:
        try:
            output = _reply.decode(body).output
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        for index, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict):
                self._take_item(index, item, is_whole=True)

    def _take_item(self, index: int, item: Mapping[str, Any], *, is_whole: bool) -> None:
        self._calls.add(index, item)
        self._keep_whole((index, "name", 0), item.get("name"))
        if not is_whole:
            return
        for key, kind in _ITEM_TEXTS:
            self._keep_whole((index, kind, 0), item.get(key))
        for key in ("content", "summary"):
            parts = item.get(key)
            for number, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, dict):
                    for name, kind in _PART_TEXTS.get(str(part.get("type")), ()):
                        self._keep_whole((index, kind, number), part.get(name))


# Key of an item or part → the kind of event that streams it.
_ITEM_TEXTS = (
    ("arguments", "response.function_call_arguments"),
    ("input", "response.custom_tool_call_input"),
    ("code", "response.code_interpreter_call_code"),
)
_PART_TEXTS = {
    "output_text": (("text", "response.output_text"),),
    "refusal": (("refusal", "response.refusal"),),
    "summary_text": (("text", "response.reasoning_summary_text"),),
    "reasoning_text": (("text", "response.reasoning_text"),),
}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
