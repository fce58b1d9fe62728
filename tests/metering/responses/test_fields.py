"""The fields of a response: known ones are checked, unknown ones are refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from openai.types.responses import (
    input_token_count_params,
    response_compact_params,
    response_create_params,
)

from metering.errors import BodyNotUnderstood, CostNotBounded, MeteringError
from metering.responses import fields
from metering.responses.fields import read_compacted, read_counted, read_created

NOTHING: frozenset[str] = frozenset()
ALL = frozenset({"stored", "conversations", "hosted_tools", "mcp", "files", "urls", "background"})


def refusal(allowed: frozenset[str] = NOTHING, **given: Any) -> MeteringError:
    with pytest.raises(MeteringError) as refused:
        read_created({"model": "gpt-6-sol", "input": "Hello"} | given, allowed)
    return refused.value


@pytest.mark.parametrize(
    ("params", "plain", "switched"),
    [
        (
            response_create_params.ResponseCreateParamsStreaming,
            fields._CREATED,
            fields._OF_CREATED,
        ),
        (response_compact_params.ResponseCompactParams, fields._COMPACTED, fields._OF_COMPACTED),
        (input_token_count_params.InputTokenCountParams, fields._COUNTED, fields._OF_COUNTED),
    ],
)
def test_every_field_of_the_sdk_is_decided_on(params: Any, plain: Any, switched: Any) -> None:
    """A field that a new SDK brings fails here, until somebody has said what it costs."""
    assert set(params.__annotations__) - {*plain, *switched} == set()


@pytest.mark.parametrize(
    "given",
    [
        {"input": None, "instructions": "Be brief."},
        {"background": False},
        {"image": {"context_compression": "auto"}},
        {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]},
        {"max_output_tokens": 16},
        {"max_tool_calls": 3},
        {"metadata": {"feature": "idea"}},
        {"parallel_tool_calls": False},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {"prompt_cache_options": {"mode": "explicit", "ttl": "12h", "prewarm": True}},
        {"reasoning": {"effort": "high", "summary": "auto", "context": None, "mode": "standard"}},
        {"safety_identifier": "a", "user": "b"},
        {"service_tier": "flex"},
        {"store": False},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"temperature": 0.5, "top_p": 1, "top_logprobs": 5},
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
        {"tool_choice": {"type": "function", "name": "f"}},
        {"truncation": "auto"},
        {"conversation": None, "previous_response_id": None, "prompt": None, "store": None},
    ],
)
def test_what_the_bytes_bound_is_let_through(given: dict[str, Any]) -> None:
    """All that an app can say that costs no more than its bytes."""
    read_created({"model": "gpt-6-sol", "input": "Hello"} | given, NOTHING)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"access_programs": {"cyber": "standard"}}, "access_programs"),
        ({"background": True}, "background"),
        ({"background_options": {"completion_window": "8h"}}, "background_options"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"image": {"upscale": True}}, "image.upscale"),
        ({"include": ["everything"]}, "include"),
        ({"include": [["a"]]}, "include"),
        ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        (
            {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
            "prompt_cache_options.comparison_response_id",
        ),
        ({"prompt_cache_options": {"ttl": "24h"}}, "prompt_cache_options.ttl"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"reasoning": {"depth": "x"}}, "reasoning.depth"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"store": True}, "store"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"text": {"voice": "x"}}, "text.voice"),
        ({"a_new_field": 1}, "a_new_field"),
    ],
)
def test_what_is_not_bounded_is_refused_by_name(given: dict[str, Any], part: str) -> None:
    """Nothing is held or sent; the caller learns which part it is."""
    refused = refusal(**given)

    assert isinstance(refused, CostNotBounded)
    assert refused.part == part


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"max_output_tokens": 15}, "max_output_tokens"),
        ({"max_output_tokens": 16.0}, "max_output_tokens"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"max_tool_calls": True}, "max_tool_calls"),
        ({"stream": "yes"}, "stream"),
        ({"background": "yes"}, "background"),
        ({"store": 1}, "store"),
        ({"input": {"role": "user"}}, "input"),
        ({"instructions": ["a"]}, "instructions"),
        ({"previous_response_id": 5}, "previous_response_id"),
        ({"truncation": "some"}, "truncation"),
        ({"truncation": ["auto"]}, "truncation"),
        ({"service_tier": 3}, "service_tier"),
        ({"base_url": "https://evil.example"}, "base_url"),
        ({"reasoning": "high"}, "reasoning"),
        ({"tools": {"type": "function"}}, "tools"),
    ],
)
def test_what_openai_does_not_document_is_not_understood(given: dict[str, Any], param: str) -> None:
    """400 with the field."""
    refused = refusal(**given)

    assert isinstance(refused, BodyNotUnderstood)
    assert refused.param == param


@pytest.mark.parametrize(
    ("switch", "given"),
    [
        ("stored", {"store": True}),
        ("stored", {"previous_response_id": "resp_1"}),
        ("stored", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("stored", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
        ("conversations", {"conversation": "conv_1"}),
        ("conversations", {"conversation": {"id": "conv_1"}}),
    ],
)
def test_a_switch_lets_in_what_it_is_for_and_nothing_else(
    switch: str, given: dict[str, Any]
) -> None:
    """Every other switch together does not."""
    read_created({"model": "gpt-6-sol", "input": "Hello"} | given, frozenset({switch}))

    assert isinstance(refusal(ALL - {switch}, **given), CostNotBounded)


def test_background_needs_its_switch_and_may_not_say_that_nothing_is_stored() -> None:
    """It stores without `stored`; `store: false` would leave nothing to fetch."""
    read_created({"input": "Hello", "background": True, "store": True}, frozenset({"background"}))

    assert isinstance(refusal(ALL - {"background"}, background=True), CostNotBounded)
    assert isinstance(refusal(ALL, background=True, store=False), BodyNotUnderstood)


def test_a_conversation_and_an_earlier_response_exclude_each_other() -> None:
    """As OpenAI says; the bound would be that of one of them."""
    given = {"conversation": "conv_1", "previous_response_id": "resp_1"}

    assert isinstance(refusal(ALL, **given), BodyNotUnderstood)


def test_compacting_and_counting_know_their_own_fields() -> None:
    """What only a new response may have is unknown to them."""
    for read, given in itertools.product(
        (read_compacted, read_counted), ({"max_output_tokens": 16}, {"stream": True}, {"store": 0})
    ):
        with pytest.raises(CostNotBounded):
            read({"model": "gpt-6-sol", "input": "Hello"} | given, ALL)
    with pytest.raises(CostNotBounded):
        read_compacted({"model": "gpt-6-sol", "tools": []}, ALL)
    for read in (read_compacted, read_counted):
        with pytest.raises(CostNotBounded):
            read({"model": "gpt-6-sol", "previous_response_id": "resp_1"}, NOTHING)
