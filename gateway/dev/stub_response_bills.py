"""What OpenAI bills for a response: what was used, and the worst that the call allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dev.stub_generation import Generation

MODEL_MAX_INPUT = 922_000

# What a model may take an image for: its dearest published formula.
WORST_IMAGE = {"gpt-4o-mini": 2_833 + 8 * 5_667, "": 24_600}

QUERIES_OF_A_SEARCH = 8

# Who calls and how; none of it is shown to the model.
_NOT_READ = frozenset(
    {"model", "metadata", "include", "user", "safety_identifier", "prompt_cache_key"}
)


@dataclass(frozen=True)
class Used:
    """The usage object of a response, and what it is billed for in the rate card's units."""

    usage: dict[str, Any]
    units: dict[str, int]
    tool_usage: dict[str, Any]


def used(generation: Generation, fields: Mapping[str, Any], cut_after: int | None = None) -> Used:
    """What a generation used, or had used when it was cut after so many pieces of text."""
    script = generation.script
    if script.worst and script.usage is None:
        return _worst(fields)
    told = generation.usage(cut_after)
    usage = _renamed(told) if "prompt_tokens" in told else told
    tools = {
        "web_searches": script.web_searches,
        "file_searches": script.file_searches,
        "containers": script.containers,
    }
    tokens = _units(usage)
    return Used(
        usage,
        tokens | {unit: count for unit, count in tools.items() if count},
        _tool_usage(script.web_searches),
    )


def _worst(fields: Mapping[str, Any]) -> Used:
    """The dearest bill, told as OpenAI would tell it."""
    units = worst_units(fields)
    read, written = units["cache_write_12h"], units["output"]
    split = {"ttl_30m_tokens": 0, "ttl_12h_tokens": read}
    details = {"cached_tokens": 0, "cache_write_tokens": read, "cache_write_tokens_details": split}
    usage = {
        "input_tokens": read,
        "input_tokens_details": details,
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": written},
        "total_tokens": read + written,
    }
    return Used(usage, units, _tool_usage(units.get("web_searches", 0)))


def _renamed(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The usage object of a chat completion in the words of a response."""
    details = dict(usage["prompt_tokens_details"])
    details.pop("audio_tokens", None)
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": details,
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage["total_tokens"],
    }


def _units(usage: Mapping[str, Any]) -> dict[str, int]:
    """OpenAI's object with each token once, as the rate card names them."""
    details = usage.get("input_tokens_details") or {}
    written = details.get("cache_write_tokens") or 0
    split = details.get("cache_write_tokens_details") or {}
    for_12h = split.get("ttl_12h_tokens") or 0
    cached = details.get("cached_tokens") or 0
    return {
        "input": usage["input_tokens"] - cached - written,
        "cached_input": cached,
        "cache_write_30m": written - for_12h,
        "cache_write_12h": for_12h,
        "output": usage["output_tokens"],
    }


def _tool_usage(searches: int) -> dict[str, Any]:
    none = {"image_tokens": 0, "text_tokens": 0}
    image = {
        "input_tokens": 0,
        "input_tokens_details": none,
        "output_tokens": 0,
        "total_tokens": 0,
    }
    return {"image_gen": image, "web_search": {"num_requests": searches}}


def worst_units(
    fields: Mapping[str, Any], *, max_input: int = MODEL_MAX_INPUT, before: int = 0
) -> dict[str, int]:
    """
    The dearest bill that OpenAI could make out for a call as it arrived.

    Every byte of text is a token that is written to the cache for 12 hours; every image is
    as dear as images get; what OpenAI fetches, or reads in turns, fills the model each time;
    all calls of tools are of the dearest tool.

    Args:
        before: The tokens of the response that it continues.
    """
    calls = fields.get("max_tool_calls") or 0
    kinds = {tool.get("type") for tool in fields.get("tools") or ()}
    turns = calls + 1 if kinds - {"function", "custom", "namespace"} else 1
    if turns > 1 or _reads_elsewhere(fields):
        read = max_input * turns
    else:
        read = _bytes_of_text(fields) + _images(fields)
        read += before if fields.get("previous_response_id") else 0
    return {
        "cache_write_12h": min(read, max_input * turns),
        "output": fields.get("max_output_tokens", 128_000),
        **_dearest_tool(kinds, calls),
    }


def _dearest_tool(kinds: set[Any], calls: int) -> dict[str, int]:
    if "web_search" in kinds:
        return {"web_searches": calls * QUERIES_OF_A_SEARCH}
    if "code_interpreter" in kinds:
        return {"containers": calls}
    return {"file_searches": calls} if "file_search" in kinds else {}


def _reads_elsewhere(fields: Mapping[str, Any]) -> bool:
    """Whether anything that the model reads is not in the body."""
    return bool(fields.get("conversation")) or any(
        node.get("type") in ("input_file", "item_reference")
        or (node.get("type") == "input_image" and not _is_data(node))
        for node in _objects(fields.get("input"))
    )


def _is_data(node: Mapping[str, Any]) -> bool:
    return str(node.get("image_url") or "").startswith("data:")


def _bytes_of_text(fields: Mapping[str, Any]) -> int:
    """A token for every byte that the model reads, and what stands around each item."""
    read = {name: fields[name] for name in fields if name not in _NOT_READ}
    texts = sum(len(text.encode()) for text in _texts(read))
    items = fields.get("input")
    return texts + 4 * (len(items) + 1 if isinstance(items, list) else 2) + 3


def _images(fields: Mapping[str, Any]) -> int:
    name = next(name for name in WORST_IMAGE if str(fields.get("model")).startswith(name))
    objects = _objects(fields.get("input"))
    return sum(WORST_IMAGE[name] for node in objects if node.get("type") == "input_image")


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        yield from _objects(child)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)
