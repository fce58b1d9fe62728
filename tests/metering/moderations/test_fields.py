"""What a moderation call may carry."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import moderation_create_params

from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.moderations import fields as moderation_fields
from metering.moderations.fields import read_fields

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize("value", ["x", ["x", "y"], [{"type": "text", "text": "x"}, IMAGE], []])
def test_texts_and_images_are_read(value: Any) -> None:
    """An address too: OpenAI bills nothing for what is behind it."""
    read_fields({"model": "omni-moderation-latest", "input": value})


def test_every_parameter_of_the_sdk_is_known_and_no_other() -> None:
    """A parameter that OpenAI adds is refused until someone has looked at what it costs."""
    known = moderation_create_params.ModerationCreateParams.__annotations__

    assert moderation_fields._FIELDS.keys() == known.keys()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": None},
        {"input": 5},
        {"input": [5]},
        {"input": [{"text": "x"}]},
        {"input": [{"type": "text", "text": 5}]},
        {"input": [{"type": "image_url", "image_url": "https://example.com"}]},
        {"input": [{"type": "image_url", "image_url": {"url": 5}}]},
    ],
)
def test_field_that_is_not_what_openai_documents_is_refused(fields: dict[str, Any]) -> None:
    """Before anything is asked of anyone."""
    with pytest.raises(BodyNotUnderstood):
        read_fields(fields)


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("policy", {"input": "x", "policy": "strict"}),
        ("input[0].type", {"input": [{"type": "input_audio"}]}),
        ("input[0].file_id", {"input": [{"type": "text", "text": "x", "file_id": "file-1"}]}),
    ],
)
def test_unknown_field_may_cost(part: str, fields: dict[str, Any]) -> None:
    """What is free today is free in what we know of it."""
    with pytest.raises(CostNotBounded) as refused:
        read_fields(fields)
    assert refused.value.part == part
