"""
The fields of a response: which are known, and which could cost without bound.

An unknown field is refused, because it may cost: the list is that of the official SDK
(openai 3.54, `response_create_params`). `items.py` does the same for the input and
`tools.py` for the tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from metering.chat.checks import (
    Check,
    boolean,
    never,
    number,
    shallow,
    string,
    table,
    unknown,
    whole,
    wrong,
)
from metering.chat.fields import MOST_OUTPUT_TOKENS
from metering.chat.messages import cache_options
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.responses.items import read_input
from metering.responses.switches import Allowed, SwitchedCheck, needs
from metering.responses.tools import MOST_TOOL_CALLS, read_tools

LEAST_OUTPUT_TOKENS = 16  # OpenAI refuses a lower limit of a response.

_TIERS = ("auto", "default", "flex", "priority", "fast", "ultrafast")

_INCLUDED = frozenset(
    {
        "code_interpreter_call.outputs", "computer_call_output.output.image_url",
        "file_search_call.results", "message.input_image.image_url",
        "message.output_text.logprobs", "reasoning.encrypted_content",
        "web_search_call.action.sources", "web_search_call.results",
    }
)  # fmt: skip


def read_background(name: str, value: Any, allowed: Allowed) -> None:
    """Work in the background goes on after its call has ended, and is stored until then."""
    boolean(name, value)
    if value:
        needs("background", name, "what is made in the background outlives its call", allowed)


def _store(name: str, value: Any, allowed: Allowed) -> None:
    boolean(name, value)
    if value:
        needs("stored", name, "stored responses are shared by all who use our account", allowed)


def _previous(name: str, value: Any, allowed: Allowed) -> None:
    string(name, value)
    needs("stored", name, "what an earlier response holds is not in the body", allowed)


def _conversation(name: str, value: Any, allowed: Allowed) -> None:
    if not isinstance(value, str):
        _known(name, table(name, value), ("id",))
        string(f"{name}.id", value.get("id"))
    needs("conversations", name, "what a conversation holds is not in the body", allowed)


def _known(name: str, value: Mapping[str, Any], keys: Iterable[str]) -> None:
    for key in value:
        if key not in keys:
            raise CostNotBounded(f"{name}.{key[:64]}", "is not an option we know")


def _reasoning(name: str, value: Any) -> None:
    options = table(name, value)
    _known(name, options, ("effort", "summary", "generate_summary", "context", "mode"))
    for key, option in options.items():
        if option is not None:
            string(f"{name}.{key}", option)
    if options.get("mode") not in (None, "standard"):
        raise CostNotBounded(f"{name}.mode", "only the standard mode has a published price")


def _text(name: str, value: Any) -> None:
    _known(name, table(name, value), ("format", "verbosity"))
    shallow(name, value)


def _service_tier(name: str, value: Any) -> None:
    string(name, value)
    if value not in _TIERS:
        raise CostNotBounded(name, f"only {', '.join(_TIERS)} are served; leave it out")


def _include(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise wrong(name, value, "a list of texts")
    for one in value:
        if not isinstance(one, str) or one not in _INCLUDED:
            raise CostNotBounded(name, "names something that is not known to us")


def _stream_options(name: str, value: Any) -> None:
    options = table(name, value)
    _known(name, options, ("include_obfuscation",))
    for key, option in options.items():
        if option is not None:
            boolean(f"{name}.{key}", option)


def _image(name: str, value: Any) -> None:
    options = table(name, value)
    _known(name, options, ("context_compression",))
    for key, option in options.items():
        string(f"{name}.{key}", option)


def _cache(name: str, value: Any) -> None:
    options = dict(table(name, value))
    prewarm = options.pop("prewarm", None)
    if prewarm is not None:
        boolean(f"{name}.prewarm", prewarm)
    cache_options(name, options)


def _one_of(*choices: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in choices:
            raise wrong(name, value, f"one of {', '.join(choices)}")

    return check


_COMPACTED: dict[str, Check] = {
    "image": _image,
    "instructions": string,
    "model": string,
    "prompt_cache_key": string,
    "prompt_cache_options": _cache,
    "prompt_cache_retention": string,
    "service_tier": _service_tier,
}

_COUNTED: dict[str, Check] = {
    "instructions": string,
    "model": string,
    "parallel_tool_calls": boolean,
    "personality": string,
    "reasoning": _reasoning,
    "text": _text,
    "tool_choice": shallow,
    "truncation": _one_of("auto", "disabled"),
}

_CREATED: dict[str, Check] = {
    **_COMPACTED,
    "access_programs": never("its models have no published price"),
    "background_options": never("a response that may wait for hours is not served"),
    "context_management": never("what a compaction on the way uses is not bounded"),
    "include": _include,
    "max_output_tokens": whole(LEAST_OUTPUT_TOKENS, MOST_OUTPUT_TOKENS),
    "max_tool_calls": whole(1, MOST_TOOL_CALLS),
    "metadata": shallow,
    "moderation": never("moderation within a call has no published price"),
    "parallel_tool_calls": boolean,
    "prompt": never("a template hides its text, its tools and even its model"),
    "reasoning": _reasoning,
    "safety_identifier": string,
    "stream": boolean,
    "stream_options": _stream_options,
    "temperature": number(0, 2),
    "text": _text,
    "tool_choice": shallow,
    "top_logprobs": whole(0, 20),
    "top_p": number(0, 1),
    "truncation": _one_of("auto", "disabled"),
    "user": string,
}

_OF_COMPACTED: dict[str, SwitchedCheck] = {"input": read_input, "previous_response_id": _previous}
_OF_COUNTED: dict[str, SwitchedCheck] = {
    **_OF_COMPACTED,
    "conversation": _conversation,
    "tools": read_tools,
}
_OF_CREATED: dict[str, SwitchedCheck] = {
    **_OF_COUNTED,
    "background": read_background,
    "store": _store,
}


def read_created(fields: Mapping[str, Any], allowed: Allowed) -> None:
    """
    Check every field of `POST /v1/responses` that can cost.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A part may cost more than its bytes tell and is not switched on,
            has no price, or is not known to us.
    """
    if fields.get("background") is True:
        if fields.get("store") is False:
            raise BodyNotUnderstood(
                "a response in the background is stored until it is fetched; leave store out",
                "store",
            )
        fields = {name: value for name, value in fields.items() if name != "store"}
    _read(fields, allowed, _CREATED, _OF_CREATED)


def read_compacted(fields: Mapping[str, Any], allowed: Allowed) -> None:
    """The same of `POST /v1/responses/compact`."""
    _read(fields, allowed, _COMPACTED, _OF_COMPACTED)


def read_counted(fields: Mapping[str, Any], allowed: Allowed) -> None:
    """The same of `POST /v1/responses/input_tokens`."""
    _read(fields, allowed, _COUNTED, _OF_COUNTED)


def _read(
    fields: Mapping[str, Any],
    allowed: Allowed,
    checks: Mapping[str, Check],
    switched: Mapping[str, SwitchedCheck],
) -> None:
    for name, value in fields.items():
        if name not in checks and name not in switched:
            raise unknown(name, "a response")
        elif value is None:
            continue
        elif name in checks:
            checks[name](name, value)
        else:
            switched[name](name, value, allowed)
    if fields.get("conversation") is not None and fields.get("previous_response_id") is not None:
        raise BodyNotUnderstood(
            "conversation and previous_response_id exclude each other; send one of them",
            "previous_response_id",
        )
