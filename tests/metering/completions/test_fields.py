"""What a completion of the older kind may carry."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import completion_create_params

from metering.completions import fields as completion_fields
from metering.completions.fields import read_fields
from metering.errors import BodyNotUnderstood, CostNotBounded

MODEL = {"model": "gpt-3.5-turbo-instruct"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": None},
        {"prompt": "Once"},
        {"prompt": ["Once", ""]},
        {"prompt": [1, 2]},
        {"prompt": [[1], [2, 3]]},
        {"prompt": "x", "n": 2, "best_of": 20, "echo": True, "logprobs": 5, "suffix": "end"},
        {"max_tokens": 0, "echo": True, "stop": ["a", "b"], "temperature": 2, "top_p": 0},
        {"stream": True, "stream_options": {"include_usage": True}, "seed": 5, "user": "u"},
        {"frequency_penalty": -2, "presence_penalty": 2, "logit_bias": {"50256": -100}},
    ],
)
def test_documented_call_is_read(fields: dict[str, Any]) -> None:
    """Whatever OpenAI documents is let through; null is absent."""
    read_fields(MODEL | fields)


def test_every_parameter_of_the_sdk_is_known_and_no_other() -> None:
    """A parameter that OpenAI adds is refused until someone has looked at what it costs."""
    base = completion_create_params.CompletionCreateParamsBase.__annotations__

    assert completion_fields._FIELDS.keys() == base.keys() | {"stream"}


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("prompt", {"prompt": []}),
        ("prompt", {"prompt": {"text": "x"}}),
        ("prompt", {"prompt": ["x", 1]}),
        ("prompt", {"prompt": [1.5]}),
        ("prompt", {"prompt": ["x"] * 2049}),
        ("prompt", {"prompt": [1] * (2**20 + 1)}),
        ("n", {"n": 0}),
        ("best_of", {"best_of": 21}),
        ("best_of", {"best_of": 1, "n": 2}),
        ("max_tokens", {"max_tokens": -1}),
        ("max_tokens", {"max_tokens": 1.0}),
        ("logprobs", {"logprobs": 6}),
        ("logprobs", {"logprobs": True}),
        ("echo", {"echo": 1}),
        ("suffix", {"suffix": ["x"]}),
        ("stream_options.include_usage", {"stream_options": {"include_usage": 1}}),
    ],
)
def test_field_that_is_not_what_openai_documents_is_named(
    param: str, fields: dict[str, Any]
) -> None:
    """What we would meter and what OpenAI would read must be the same number."""
    with pytest.raises(BodyNotUnderstood) as refused:
        read_fields(MODEL | fields)
    assert refused.value.param == param


@pytest.mark.parametrize("field", ["messages", "max_completion_tokens", "service_tier", "tools"])
def test_field_of_a_chat_completion_is_none_of_these(field: str) -> None:
    """OpenAI would refuse it, or one day bill it."""
    with pytest.raises(CostNotBounded) as refused:
        read_fields(MODEL | {"prompt": "x", field: 5})
    assert refused.value.part == field
