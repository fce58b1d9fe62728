"""The bound of a prompt is never below what the cookbook estimates, nor above its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.call import Call
from metering.chat.prompt import estimated_tokens, most_tokens
from metering.meters.chat_completions import ChatCompletions
from metering.rates import RateCard
from metering.tokens import count

ENCODING = "o200k_base"
ROW = RateCard.load().find("gpt-6-luna")

texts = st.text(max_size=60) | st.sampled_from(["\nabla" * 9, "<|endoftext|>", "\\\\", "\r\n \t"])
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=4)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.just("call_1"),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
        }
    ),
    max_size=3,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system"]), "content": texts | parts | st.none()},
        optional={"name": texts, "tool_calls": calls, "refusal": texts},
    ),
    min_size=1,
    max_size=6,
)
properties = st.dictionaries(
    texts,
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"description": texts, "enum": st.lists(texts, max_size=4)},
    ),
    max_size=4,
)
tools = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {
                    "name": texts,
                    "description": texts,
                    "parameters": st.fixed_dictionaries(
                        {"type": st.just("object"), "properties": properties}
                    ),
                }
            ),
        }
    ),
    max_size=3,
)


@settings(deadline=None)
@given(messages, tools)
def test_bound_covers_the_estimate_and_stays_within_the_bytes(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> None:
    """estimate <= bound <= bytes of the body + 64, whatever is written."""
    fields = {"model": "gpt-6-luna", "messages": messages, "tools": tools}
    size = len(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode())
    call = Call("chat", "gpt-6-luna", fields, False, size)

    bound = ChatCompletions().count_input(call, ROW)

    assert estimated_tokens(fields, ENCODING) <= bound <= size + 64
    assert bound == min(most_tokens(fields, ENCODING), size) + 64


def test_json_of_a_text_may_have_fewer_tokens_than_the_text() -> None:
    """Why texts are counted one by one and not the body: a formula after a line break."""
    text = "\nabla \nu \times" * 50
    escaped = json.dumps(text)

    assert count(escaped, ENCODING) < count(text, ENCODING)
    assert most_tokens({"messages": [{"role": "user", "content": text}]}, ENCODING) > count(
        text, ENCODING
    )


def test_every_byte_of_the_json_around_a_text_is_taken_for_a_token() -> None:
    """The framing that OpenAI adds is never longer than that."""
    fields = {"stop": ["a", "b", {"c": "d"}]}
    around = len(json.dumps(fields, separators=(",", ":"))) - len("stop" + "abcd")

    assert around + 5 <= most_tokens(fields, ENCODING) <= around + 5 + 3


def test_estimate_is_that_of_the_cookbook() -> None:
    """OpenAI's example: six messages, two of them with a name."""
    fields = {
        "messages": [
            {
                "role": "system",
                "content": "You are a helpful, pattern-following assistant that translates "
                "corporate jargon into plain English.",
            },
            {
                "role": "system",
                "name": "example_user",
                "content": "New synergies will help drive top-line growth.",
            },
            {
                "role": "system",
                "name": "example_assistant",
                "content": "Things working well together will increase revenue.",
            },
            {
                "role": "system",
                "name": "example_user",
                "content": "Let's circle back when we have more bandwidth to touch base on "
                "opportunities for increased leverage.",
            },
            {
                "role": "system",
                "name": "example_assistant",
                "content": "Let's talk later when we're less busy about how to do better.",
            },
            {
                "role": "user",
                "content": "This late pivot means we don't have time to boil the ocean for the "
                "client deliverable.",
            },
        ]
    }

    assert estimated_tokens(fields, "o200k_base") == 124
    assert estimated_tokens(fields, "cl100k_base") == 129


def test_estimate_counts_functions_as_the_cookbook_does() -> None:
    """OpenAI's example of a weather tool: 101 tokens for the gpt-4o family."""
    fields = {
        "messages": [
            {
                "role": "system",
                "content": "You are a helpful assistant that can answer to questions about the "
                "weather.",
            },
            {"role": "user", "content": "What's the weather like in San Francisco?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_current_weather",
                    "description": "Get the current weather in a given location",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "location": {
                                "type": "string",
                                "description": "The city and state, e.g. San Francisco, CA",
                            },
                            "unit": {
                                "type": "string",
                                "description": "The unit of temperature to return",
                                "enum": ["celsius", "fahrenheit"],
                            },
                        },
                        "required": ["location"],
                    },
                },
            }
        ],
    }

    assert estimated_tokens(fields, "o200k_base") == 101


@pytest.mark.parametrize("odd", [None, "x", 5, [None], [5], [{"function": 5}], [{}]])
def test_odd_tools_do_not_break_the_count(odd: Any) -> None:
    """What OpenAI will refuse must still be countable."""
    fields = {"messages": [{"role": "user", "content": "x"}], "tools": odd, "functions": odd}

    assert estimated_tokens(fields, ENCODING) > 0
    assert most_tokens(fields, ENCODING) > 0
