"""
The fields of an embeddings call, and how many tokens its input can be.

The list is that of the official SDK (openai 3.54, `embedding_create_params`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metering.chat.checks import Check, read_known, string, whole, wrong
from metering.errors import BodyNotUnderstood
from metering.tokens import count

# OpenAI's own limits; it refuses what is above them.
MOST_INPUTS = 2048
MOST_TOKENS = 300_000

MOST_DIMENSIONS = 2**20
MOST_TOKEN_ID = 2**31


def read_fields(fields: Mapping[str, Any]) -> None:
    """
    Check every field of an embeddings call.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A field is not known to us.
    """
    read_known(fields, _FIELDS, "an embeddings call")
    if fields.get("input") is None:
        raise BodyNotUnderstood("input is missing; it must be a text or a list", "input")


def inputs_of(value: Any) -> list[Any]:
    """The inputs of a checked call, each a text or a list of token ids."""
    if isinstance(value, str) or type(value[0]) is int:
        return [value]
    return list(value)


def most_tokens(value: Any) -> int:
    """The most tokens of an input: one for a byte of text, one for each token id."""
    return sum(_most(one) for one in inputs_of(value))


def counted_tokens(value: Any, encoding: str) -> int:
    """The tokens of an input; blocks."""
    return sum(
        count(one, encoding) if isinstance(one, str) else len(one) for one in inputs_of(value)
    )


def _most(one: str | list[int]) -> int:
    return len(one.encode()) if isinstance(one, str) else len(one)


def _input(name: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list) or not value:
        raise wrong(name, value, "a text, or a list of texts or of token ids")
    if all(type(one) is int for one in value):
        _token_ids(name, value)
        return
    if len(value) > MOST_INPUTS:
        raise BodyNotUnderstood(
            f"{name} has {len(value)} inputs; OpenAI takes {MOST_INPUTS} in a call", name
        )
    if all(isinstance(one, str) for one in value):
        return
    ids = sum(len(one) for one in _lists(name, value))
    if ids > MOST_TOKENS:
        raise _too_many(name, ids)


def _lists(name: str, value: list[Any]) -> Iterator[list[int]]:
    for place, one in enumerate(value):
        if not isinstance(one, list) or not one:
            raise BodyNotUnderstood(f"{name} must be texts only, or lists of token ids only", name)
        _token_ids(f"{name}[{place}]", one)
        yield one


def _token_ids(name: str, ids: list[Any]) -> None:
    if not all(type(one) is int and 0 <= one < MOST_TOKEN_ID for one in ids):
        raise BodyNotUnderstood(f"{name} must be a list of token ids, which are whole", name)
    if len(ids) > MOST_TOKENS:
        raise _too_many(name, len(ids))


def _too_many(name: str, found: int) -> BodyNotUnderstood:
    return BodyNotUnderstood(
        f"{name} has {found} tokens; OpenAI takes {MOST_TOKENS} in a call", name
    )


def _encoding_format(name: str, value: Any) -> None:
    if value not in ("float", "base64"):
        raise wrong(name, value, '"float" or "base64"')


_FIELDS: dict[str, Check] = {
    "dimensions": whole(1, MOST_DIMENSIONS),
    "encoding_format": _encoding_format,
    "input": _input,
    "model": string,
    "user": string,
}
