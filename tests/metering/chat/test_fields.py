"""What a call may carry: known fields within bounds; what could cost without bound is named."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import completion_create_params

from metering.chat import fields as chat_fields
from metering.chat.fields import read_fields
from metering.errors import BodyNotUnderstood, CostNotBounded

SECRET = "a secret of the caller"
MESSAGES: list[Any] = [{"role": "user", "content": SECRET}]


MESSAGE_WITH_ADDRESS = {
    "role": "user",
    "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
}
MESSAGE_WITH_FILE = {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-6-luna", "messages": MESSAGES} | fields


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 128, "max_tokens": 1, "temperature": 0, "top_p": 1.0, "stream": True},
        {"n": None, "stream": None, "stop": None, "audio": None, "web_search_options": None},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"service_tier": "auto", "store": False, "modalities": ["text"]},
        *({"service_tier": tier} for tier in ("default", "flex", "priority", "fast", "ultrafast")),
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
        {"metadata": {"feature": "poem"}, "user": "u1", "seed": -5, "logit_bias": {"5": -100}},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
        {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"tools": [{"type": "custom", "custom": {"name": "f"}}], "tool_choice": "required"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}},
        {"reasoning_effort": "xhigh", "verbosity": "low", "functions": [{"name": "f"}]},
    ],
)
def test_documented_call_is_read(fields: dict[str, Any]) -> None:
    """Whatever OpenAI documents and whose bytes bound it is let through; null is absent."""
    read_fields(body(**fields))


def test_every_parameter_of_the_sdk_is_known_and_no_other() -> None:
    """A parameter that OpenAI adds is refused until someone has looked at what it costs."""
    base = completion_create_params.CompletionCreateParamsBase.__annotations__

    assert chat_fields._FIELDS.keys() == base.keys() | {"stream"}


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("audio.voice", {"audio": {"voice": {"id": "voice_1"}, "format": "wav"}}),
        ("audio.speed", {"audio": {"speed": 2}}),
        ("modalities", {"modalities": ["text", "video"]}),
        ("web_search_options", {"web_search_options": {}}),
        ("store", {"store": True}),
        ("service_tier", {"service_tier": "scale"}),
        ("service_tier", {"service_tier": "batch"}),
        ("model", {"model": "gpt-4o-search-preview"}),
        ("model", {"model": "gpt-5-search-api-2025-10-14"}),
        ("moderation", {"moderation": {"model": "omni-moderation-latest"}}),
        ("tools[1].type", {"tools": [{"type": "function"}, {"type": "web_search"}]}),
        ("tools[0].type", {"tools": [{"type": "mcp", "server_url": "x"}]}),
        (
            "prompt_cache_options.comparison_response_id",
            {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
        ),
        ("prompt_cache_options.prewarm", {"prompt_cache_options": {"prewarm": True}}),
        ("prompt_cache_options.ttl", {"prompt_cache_options": {"ttl": "30d"}}),
        ("stream_options.extra", {"stream_options": {"extra": 1}}),
        ("prediction.file_id", {"prediction": {"type": "content", "file_id": "file-1"}}),
        ("top_k", {"top_k": 5}),
        ("input_cost_per_token", {"input_cost_per_token": 0}),
        ("background", {"background": None}),
    ],
)
def test_part_whose_cost_is_not_bounded_is_named(part: str, fields: dict[str, Any]) -> None:
    """The caller learns which part it was."""
    with pytest.raises(CostNotBounded) as refused:
        read_fields(body(**fields))
    assert refused.value.part == part


@pytest.mark.parametrize(
    ("switch", "fields"),
    [
        ("stored", {"store": True, "metadata": {"a": "b"}}),
        ("hosted_tools", {"web_search_options": {"search_context_size": "low"}}),
        ("hosted_tools", {"model": "gpt-4o-search-preview"}),
        ("urls", {"messages": [MESSAGE_WITH_ADDRESS]}),
        ("files", {"messages": [MESSAGE_WITH_FILE]}),
    ],
)
def test_part_that_is_switched_on_is_read(switch: str, fields: dict[str, Any]) -> None:
    """For this business, and only with this switch."""
    others = frozenset({"stored", "hosted_tools", "urls", "files", "mcp"}) - {switch}

    read_fields(body(**fields), frozenset({switch}))
    with pytest.raises(CostNotBounded):
        read_fields(body(**fields), others)


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("messages", {"messages": None}),
        ("messages", {"messages": []}),
        ("messages", {"messages": "hello"}),
        *(("n", {"n": n}) for n in (0, -1, 129, True, 1.0, "1", 10**400, [1])),
        *(("max_tokens", {"max_tokens": n}) for n in (0, -5, True, 5.5, "5", 2**31 + 1)),
        ("max_completion_tokens", {"max_completion_tokens": 0}),
        ("max_completion_tokens", {"max_completion_tokens": 5, "max_tokens": 6}),
        ("temperature", {"temperature": 2.1}),
        ("temperature", {"temperature": float("nan")}),
        ("temperature", {"temperature": float("inf")}),
        ("temperature", {"temperature": True}),
        ("top_p", {"top_p": -0.1}),
        ("presence_penalty", {"presence_penalty": "1"}),
        ("top_logprobs", {"top_logprobs": 21}),
        ("seed", {"seed": 1.5}),
        ("stream", {"stream": "true"}),
        ("stream", {"stream": 1}),
        ("stream_options", {"stream_options": []}),
        ("stream_options.include_usage", {"stream_options": {"include_usage": "yes"}}),
        ("metadata", {"metadata": "x"}),
        ("metadata.model_info", {"metadata": {"model_info": {"input_cost_per_token": 0}}}),
        ("tools", {"tools": {}}),
        ("tools", {"tools": ["x"]}),
        ("service_tier", {"service_tier": 1}),
        ("store", {"store": 0}),
        ("model", {"model": 5}),
        ("user", {"user": {"id": 1}}),
        *((key, {key: "x"}) for key in ("api_base", "base_url", "api_key", "organization")),
        ("user_config", {"user_config": {}}),
    ],
)
def test_field_that_is_not_what_openai_documents_is_named(
    param: str, fields: dict[str, Any]
) -> None:
    """What we would meter and what OpenAI would read must be the same number."""
    with pytest.raises(BodyNotUnderstood) as refused:
        read_fields(body(**fields))
    assert refused.value.param == param


@pytest.mark.parametrize("depth", [65, 5000])
@pytest.mark.parametrize("field", ["response_format", "tool_choice", "logit_bias"])
def test_nesting_is_bounded(field: str, depth: int) -> None:
    """Nobody makes us, or OpenAI, walk down without end."""
    nested: Any = {}
    for _ in range(depth):
        nested = {"a": nested}

    with pytest.raises(BodyNotUnderstood, match="nested deeper than 64 levels"):
        read_fields(body(**{field: nested}))


def test_no_message_carries_what_the_caller_wrote() -> None:
    """An error is logged and shown; a prompt never is."""
    wrong = [
        body(messages=SECRET),
        body(messages=[SECRET]),
        body(messages=[{"role": SECRET, "content": SECRET}]),
        body(messages=[{"role": "user", "content": [SECRET]}]),
        body(temperature=SECRET),
        body(n=SECRET),
        body(metadata=SECRET),
        body(tools=[SECRET]),
    ]

    for fields in wrong:
        with pytest.raises(BodyNotUnderstood) as refused:
            read_fields(fields)
        assert SECRET not in str(refused.value)
