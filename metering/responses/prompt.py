"""
How many tokens the input of a response is: an estimate, and a bound that is never below it.

The cookbook's formula is that of chat completions; nothing is published for responses, whose
items become the same messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metering.call import Call
from metering.chat import prompt as chat
from metering.meters.meter import FRAMING_TOKENS
from metering.prices import ModelRow
from metering.responses.items import sources_of
from metering.responses.tools import DEFAULT_TOOL_CALLS, run_by_openai
from metering.tokens import count

_PER_ITEM = 3
_REPLY_PRIMER = 3

# What an image may be at the most, whatever its bytes are: a white square of 2,000 pixels is
# a file of 4 kB. gpt-4o-mini takes 2,833 + 5,667 for each of 8 tiles (documented); models that
# see patches take up to 10,000 of them ("original"), times 2.46 for the smallest.
_TILED_DEAR = "gpt-4o-mini"
_MOST_OF_A_TILED_IMAGE = 2_833 + 8 * 5_667
MOST_OF_AN_IMAGE = 24_600

# A picture of a thousand pixels square, as most models see it.
_USUAL_IMAGE = 1_250

_PROMPT_FIELDS = frozenset(
    {"input", "instructions", "tools", "tool_choice", "text", "reasoning", "personality"}
)
_SHOWN = ("tools", "text")


def turns_of(fields: Mapping[str, Any]) -> int:
    """How often the model may read its input within one response."""
    if not run_by_openai(fields):
        return 1
    calls: int | None = fields.get("max_tool_calls")
    return (calls or DEFAULT_TOOL_CALLS) + 1


def bound_by_bytes(call: Call, row: ModelRow) -> int:
    """The most input tokens of a prepared call, by the bytes of its body."""
    return _bound(call, row, call.body_bytes)


def bound_by_tokens(call: Call, row: ModelRow) -> int:
    """The same, with the texts counted: tighter, and it blocks."""
    if is_open(call):
        return bound_by_bytes(call, row)
    fields = _without_images(call.fields)
    counted = chat.most_tokens(fields, row.encoding, names=_PROMPT_FIELDS)
    # A model may be shown a schema as JSON, in which a line of tabs is no longer one token.
    shown = sum(count(_as_json(fields[name]), row.encoding) for name in _SHOWN if name in fields)
    return _bound(call, row, min(counted + shown, call.body_bytes))


def _bound(call: Call, row: ModelRow, text_tokens: int) -> int:
    if is_open(call):
        # No call reads more than the model takes, in each of its turns.
        return row.max_input * turns_of(call.fields)
    of_image = _MOST_OF_A_TILED_IMAGE if row.id.startswith(_TILED_DEAR) else MOST_OF_AN_IMAGE
    before = (call.before_tokens or 0) if _continues(call) else 0
    images = sources_of(call.fields).images
    return text_tokens + images * of_image + before + FRAMING_TOKENS


def is_open(call: Call) -> bool:
    """Whether only the model's own limit bounds what it reads."""
    return (
        sources_of(call.fields).is_open
        or run_by_openai(call.fields)
        or call.fields.get("conversation") is not None
        or (_continues(call) and call.before_tokens is None)
    )


def is_text(call: Call) -> bool:
    """Whether the bound of the input is near what OpenAI will count: all of it is text."""
    return not is_open(call) and not sources_of(call.fields).images


def _continues(call: Call) -> bool:
    return call.fields.get("previous_response_id") is not None


def estimated_tokens(fields: Mapping[str, Any], encoding: str) -> int:
    """About how many tokens the input has, for a call whose usage never came; blocks."""
    items = fields.get("input")
    listed = items if isinstance(items, list) else [items]
    texts = [text for item in listed for text in chat.texts_of(_seen(item))]
    texts += [_as_json(fields[name]) for name in _SHOWN if fields.get(name)]
    instructions = fields.get("instructions")
    if isinstance(instructions, str):
        texts.append(instructions)
    tokens = sum(count(text, encoding) for text in texts)
    tokens += sources_of(fields).images * _USUAL_IMAGE
    return tokens + _PER_ITEM * (len(listed) + isinstance(instructions, str)) + _REPLY_PRIMER


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_NOT_READ = frozenset(
    {"image_url", "file_url", "file_data", "file_id", "encrypted_content", "call_id", "status",
     "detail"}
)  # fmt: skip


def _seen(value: Any) -> Any:
    """An item without what no model reads as text."""
    if isinstance(value, dict):
        return {key: _seen(child) for key, child in value.items() if key not in _NOT_READ}
    return [_seen(child) for child in value] if isinstance(value, list) else value


def _without_images(value: Any) -> Any:
    """The same fields without the bytes of images, which are counted as images."""
    if isinstance(value, dict):
        return {key: _without_images(child) for key, child in value.items() if key != "image_url"}
    return [_without_images(child) for child in value] if isinstance(value, list) else value
