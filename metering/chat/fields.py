"""
The fields of a chat completion: which are known, and which could cost without bound.

An unknown field is refused, because it may cost: the list is that of the official SDK
(openai 3.54, `completion_create_params`). `messages.py` does the same for messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metering.chat.checks import (
    Check,
    boolean,
    never,
    number,
    read_known,
    shallow,
    stream_options,
    string,
    table,
    whole,
    wrong,
)
from metering.chat.media import check_switches
from metering.chat.messages import TEXT_PARTS, cache_options, read_messages, read_parts
from metering.chat.searches import is_search_model
from metering.errors import BodyNotUnderstood, CostNotBounded

MOST_CHOICES = 128  # OpenAI's own limit of n.
MOST_OUTPUT_TOKENS = 2**31

# `auto` follows a setting of our own account, so it is asked for as `default`.
TIERS = ("auto", "default", "flex", "priority", "fast", "ultrafast")


def read_fields(fields: dict[str, Any], allowed: frozenset[str] = frozenset()) -> None:
    """
    Check every field of a chat completion that can cost.

    Args:
        allowed: What is switched on for the business beyond what every one may use.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A part may cost more than its bytes tell, or is not known to us.
    """
    read_known(fields, _FIELDS, "a chat completion")
    if fields.get("messages") is None:
        raise BodyNotUnderstood("messages is missing; it must be a list of messages", "messages")
    _same_limits(fields)
    _check_switches(fields, allowed)
    check_switches(fields, allowed)


def _check_switches(fields: Mapping[str, Any], allowed: frozenset[str]) -> None:
    if fields.get("store") and "stored" not in allowed:
        raise CostNotBounded("store", "stored completions are not switched on; send false")
    if "hosted_tools" not in allowed:
        if fields.get("web_search_options") is not None:
            raise CostNotBounded("web_search_options", "searching the web is not switched on")
        if is_search_model(fields.get("model") or ""):
            raise CostNotBounded("model", "it searches the web, which is not switched on")


def _same_limits(fields: Mapping[str, Any]) -> None:
    old, new = fields.get("max_tokens"), fields.get("max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise BodyNotUnderstood(
            f"max_tokens is {old} and max_completion_tokens is {new}; send one of them",
            "max_completion_tokens",
        )


def _tools(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise wrong(name, value, "a list of tools")
    for place, tool in enumerate(value):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise BodyNotUnderstood(f"{name}[{place}] must be a tool with a type", name)
        if kind not in ("function", "custom"):
            raise CostNotBounded(
                f"{name}[{place}].type", "only tools that your own app runs are bounded"
            )
        shallow(f"{name}[{place}]", tool)


def _prediction(name: str, value: Any) -> None:
    prediction = table(name, value)
    for key in prediction:
        if key not in ("type", "content"):
            raise CostNotBounded(f"{name}.{key[:64]}", "is not a field we know")
    content = prediction.get("content")
    if not isinstance(content, str):
        read_parts(f"{name}.content", content, TEXT_PARTS)


def _metadata(name: str, value: Any) -> None:
    for key, text in table(name, value).items():
        if not isinstance(text, str):
            raise BodyNotUnderstood(f"{name} must be an object of texts", f"{name}.{key[:64]}")


def _service_tier(name: str, value: Any) -> None:
    string(name, value)
    if value not in TIERS:
        raise CostNotBounded(name, f"only {', '.join(TIERS)} have a published price")


def _modalities(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise wrong(name, value, "a list of texts")
    if any(kind not in ("text", "audio") for kind in value):
        raise CostNotBounded(name, "only text and audio are known")


def _audio(name: str, value: Any) -> None:
    for key, text in table(name, value).items():
        if key not in ("voice", "format"):
            raise CostNotBounded(f"{name}.{key[:64]}", "is not a field we know")
        if isinstance(text, dict):
            raise CostNotBounded(f"{name}.{key}", "refers to a voice that may not be yours")
        string(f"{name}.{key}", text)


def _web_search_options(name: str, value: Any) -> None:
    for key, option in table(name, value).items():
        if key not in ("search_context_size", "user_location"):
            raise CostNotBounded(f"{name}.{key[:64]}", "is not an option we know")
        shallow(f"{name}.{key}", option)


_FIELDS: dict[str, Check] = {
    "audio": _audio,
    "frequency_penalty": number(-2, 2),
    "function_call": shallow,
    "functions": shallow,
    "logit_bias": shallow,
    "logprobs": boolean,
    "max_completion_tokens": whole(1, MOST_OUTPUT_TOKENS),
    "max_tokens": whole(1, MOST_OUTPUT_TOKENS),
    "messages": read_messages,
    "metadata": _metadata,
    "modalities": _modalities,
    "model": string,
    "moderation": never("moderation within a call has no published price"),
    "n": whole(1, MOST_CHOICES),
    "parallel_tool_calls": boolean,
    "prediction": _prediction,
    "presence_penalty": number(-2, 2),
    "prompt_cache_key": string,
    "prompt_cache_options": cache_options,
    "prompt_cache_retention": string,
    "reasoning_effort": string,
    "response_format": shallow,
    "safety_identifier": string,
    "seed": whole(-(2**63), 2**63 - 1),
    "service_tier": _service_tier,
    "stop": shallow,
    "store": boolean,
    "stream": boolean,
    "stream_options": stream_options,
    "temperature": number(0, 2),
    "tool_choice": shallow,
    "tools": _tools,
    "top_logprobs": whole(0, 20),
    "top_p": number(0, 1),
    "user": string,
    "verbosity": string,
    "web_search_options": _web_search_options,
}
