"""What an embeddings call may carry, and how many tokens it can be."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import embedding_create_params

from metering.embeddings import fields as embedding_fields
from metering.embeddings.fields import read_fields
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.text_or_ids import counted_tokens, items_of, most_tokens

MODEL = {"model": "text-embedding-3-small"}


@pytest.mark.parametrize(
    ("value", "inputs", "most", "counted"),
    [
        ("hello", 1, 5, 1),
        (["hello", "é"], 2, 7, 2),
        ([1, 2, 3], 1, 3, 3),
        ([[1, 2], [3]], 2, 3, 3),
        (["x"] * 2048, 2048, 2048, 2048),
    ],
)
def test_each_kind_of_input_is_counted(value: Any, inputs: int, most: int, counted: int) -> None:
    """A byte of text, or a token id, is a token at the most."""
    read_fields(MODEL | {"input": value})

    assert len(items_of(value)) == inputs
    assert most_tokens(value) == most
    assert counted_tokens(value, "cl100k_base") == counted


def test_every_parameter_of_the_sdk_is_known_and_no_other() -> None:
    """A parameter that OpenAI adds is refused until someone has looked at what it costs."""
    known = embedding_create_params.EmbeddingCreateParams.__annotations__

    assert embedding_fields._FIELDS.keys() == known.keys()


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("input", {}),
        ("input", {"input": None}),
        ("input", {"input": []}),
        ("input", {"input": 5}),
        ("input", {"input": {"text": "x"}}),
        ("input", {"input": ["x", 5]}),
        ("input", {"input": [5, "x"]}),
        ("input", {"input": [[]]}),
        ("input", {"input": [[1], "x"]}),
        ("input", {"input": [True, False]}),
        ("input", {"input": [-1]}),
        ("input", {"input": ["x"] * 2049}),
        ("input", {"input": [1] * 300_001}),
        ("input", {"input": [[1] * 150_001] * 2}),
        ("input[0]", {"input": [[1.5]]}),
        ("dimensions", {"input": "x", "dimensions": 0}),
        ("dimensions", {"input": "x", "dimensions": True}),
        ("encoding_format", {"input": "x", "encoding_format": "int8"}),
        ("user", {"input": "x", "user": 5}),
        ("base_url", {"input": "x", "base_url": "http://elsewhere"}),
    ],
)
def test_field_that_is_not_what_openai_documents_is_named(
    param: str, fields: dict[str, Any]
) -> None:
    """Also what OpenAI would refuse for its length."""
    with pytest.raises(BodyNotUnderstood) as refused:
        read_fields(MODEL | fields)
    assert refused.value.param == param


@pytest.mark.parametrize("field", ["stream", "input_type", "store"])
def test_unknown_field_may_cost(field: str) -> None:
    """It is refused, whatever it says."""
    with pytest.raises(CostNotBounded) as refused:
        read_fields(MODEL | {"input": "x", field: False})
    assert refused.value.part == field
