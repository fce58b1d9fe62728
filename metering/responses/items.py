"""
The input of a response: which items and parts are known, and which the bytes do not bound.

What is not in the body itself (an id, an address, a stored item) is refused unless the
business has it switched on; `Sources` tells the ceiling what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metering.chat.checks import shallow, string, table, wrong
from metering.chat.messages import cache_options
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.responses.switches import Allowed, needs
from metering.responses.tools import read_tools

_ROLES = frozenset({"user", "assistant", "system", "developer"})
_MESSAGE_KEYS = frozenset({"type", "role", "content", "id", "status", "phase"})

# Items whose text is all in the body: what the model said, and what the app answered.
_BY_BYTES = frozenset({"function_call", "custom_tool_call", "reasoning", "compaction"})
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})

# What OpenAI's tools did in an earlier response: what they read is not always said again.
_HOSTED = frozenset(
    {
        "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "computer_call",
        "computer_call_output", "file_search_call", "local_shell_call", "local_shell_call_output",
        "shell_call", "shell_call_output", "tool_search_call", "web_search_call",
    }
)  # fmt: skip
_MCP = frozenset({"mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response"})
_WITH_TOOLS = frozenset({"additional_tools", "tool_search_output"})

_PARTS = {
    "input_text": frozenset({"type", "text", "prompt_cache_breakpoint"}),
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "refusal": frozenset({"type", "refusal"}),
    "input_image": frozenset(
        {"type", "detail", "image_url", "file_id", "prompt_cache_breakpoint"}
    ),
    "input_file": frozenset(
        {"type", "detail", "file_data", "file_id", "file_url", "filename",
         "prompt_cache_breakpoint"}
    ),
}  # fmt: skip


def read_input(name: str, value: Any, allowed: Allowed) -> None:
    """
    Check the input of a response.

    Raises:
        BodyNotUnderstood: It is neither a text nor a list of items.
        CostNotBounded: An item or part is not bounded, and not switched on, or not known.
    """
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong(name, value, "a text or a list of items")
    for place, item in enumerate(value):
        _read_item(f"{name}[{place}]", item, allowed)


def read_kept_items(name: str, value: Any, allowed: Allowed) -> None:
    """
    Check items that a conversation keeps, for responses whose bodies do not say them again.

    Raises:
        BodyNotUnderstood, CostNotBounded: As `read_input`; one brings tools, which would be
            used by responses that are held as if they had none.
    """
    read_input(name, value, allowed)
    for place, item in enumerate(value):
        if isinstance(item, dict) and item.get("type") in _WITH_TOOLS:
            why = "what tools that are kept with a conversation cost is not bounded"
            raise CostNotBounded(f"{name}[{place}].type", why)


def _read_item(where: str, item: Any, allowed: Allowed) -> None:
    if not isinstance(item, dict):
        raise wrong(where, item, "an object")
    kind = item.get("type")
    if kind == "message" or (kind is None and "role" in item):
        _read_message(where, item, allowed)
    elif kind == "item_reference" or (kind is None and "id" in item):
        needs("stored", f"{where}.id", "what it refers to is not in the body", allowed)
    elif not isinstance(kind, str):
        raise BodyNotUnderstood(f"{where} must be a message or an item with a type", where)
    else:
        shallow(where, item)
        _read_other(where, kind, item, allowed)


def _read_other(where: str, kind: str, item: Mapping[str, Any], allowed: Allowed) -> None:
    if kind == "reasoning" and _is_only_referred_to(item):
        why = "reasoning without encrypted_content is kept by OpenAI, if at all"
        needs("stored", f"{where}.encrypted_content", why, allowed)
    elif kind in _OUTPUTS:
        output = item.get("output")
        if output is not None and not isinstance(output, str):
            _read_parts(f"{where}.output", output, allowed)
    elif kind in _HOSTED:
        why = "what a tool of OpenAI's has read is not in the body"
        needs("hosted_tools", f"{where}.type", why, allowed)
    elif kind in _MCP:
        needs("mcp", f"{where}.type", "what another server has answered may be read again", allowed)
    elif kind in _WITH_TOOLS:
        read_tools(f"{where}.tools", item.get("tools"), allowed)
    elif kind == "configuration_update":
        _read_update(where, item)
    elif kind not in _BY_BYTES:
        raise CostNotBounded(f"{where}.type", "is not a kind of item whose cost is known")


def _read_update(where: str, item: Mapping[str, Any]) -> None:
    for key in item:
        if key not in ("type", "id", "reasoning", "text"):
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
    for key in table(f"{where}.reasoning", item.get("reasoning") or {}):
        if key != "effort":
            raise CostNotBounded(f"{where}.reasoning.{key[:64]}", "is not a field we know")


def _read_message(where: str, message: Mapping[str, Any], allowed: Allowed) -> None:
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BodyNotUnderstood(
            f"{where}.role must be one of {', '.join(sorted(_ROLES))}", f"{where}.role"
        )
    for key, value in message.items():
        if key not in _MESSAGE_KEYS:
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field of a message we know")
        if key == "content" and not isinstance(value, str):
            _read_parts(f"{where}.content", value, allowed)
        elif key in ("id", "status", "phase") and value is not None:
            string(f"{where}.{key}", value)


def _read_parts(where: str, parts: Any, allowed: Allowed) -> None:
    if not isinstance(parts, list):
        raise wrong(where, parts, "a text or a list of parts")
    for number, part in enumerate(parts):
        _read_part(f"{where}[{number}]", part, allowed)


def _read_part(where: str, part: Any, allowed: Allowed) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise BodyNotUnderstood(f"{where} must be a part with a type", where)
    known = _PARTS.get(kind)
    if known is None:
        raise CostNotBounded(kind[:64], f"is not a kind of part whose cost is known (at {where})")
    for key, value in part.items():
        if key not in known:
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
        if key == "prompt_cache_breakpoint":
            if value is not None:
                cache_options(f"{where}.{key}", value)
        elif key in ("annotations", "logprobs"):
            shallow(f"{where}.{key}", value)
        elif value is not None:
            string(f"{where}.{key}", value)
    _read_sources(where, part, allowed)


def _read_sources(where: str, part: Mapping[str, Any], allowed: Allowed) -> None:
    if part.get("file_id") is not None:
        needs("files", f"{where}.file_id", "what a file holds is not in the body", allowed)
    for key in ("image_url", "file_url"):
        if part.get(key) is not None and not part[key].startswith("data:"):
            needs("urls", f"{where}.{key}", "what is at an address is not in the body", allowed)


@dataclass(frozen=True, slots=True)
class Sources:
    """
    What a checked input is made of, beyond text.

    `images` are those within the body; `is_open` says that something is there whose tokens
    the bytes do not bound, so that only the model's own limit does.
    """

    images: int
    is_open: bool


def sources_of(fields: Mapping[str, Any]) -> Sources:
    """What a checked call gives the model to read."""
    is_open, images = False, 0
    for item in _items(fields):
        kind = item.get("type")
        is_open |= kind in _HOSTED or kind in _MCP
        is_open |= kind == "item_reference" or (kind is None and "role" not in item)
        is_open |= kind == "reasoning" and _is_only_referred_to(item)
        for part in parts_of(item):
            if part.get("type") == "input_image":
                images += 1
                is_open |= not str(part.get("image_url") or "").startswith("data:")
                is_open |= part.get("file_id") is not None
            # A page of a file becomes text and a picture; what is compressed in it unfolds.
            is_open |= part.get("type") == "input_file"
    return Sources(images, is_open)


def parts_of(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of a message or of the output of a function."""
    for key in ("content", "output"):
        parts = item.get(key)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                yield part


def _items(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    items = fields.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            yield item


def _is_only_referred_to(item: Mapping[str, Any]) -> bool:
    return bool(item.get("id")) and not item.get("encrypted_content") and not item.get("content")
