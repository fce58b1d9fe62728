"""
The prompt of the older endpoints: a text, a list of texts, token ids, or lists of token ids.

A text has at most a token for each of its bytes; of token ids the number is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metering.chat.checks import Check, wrong
from metering.errors import BodyNotUnderstood
from metering.tokens import count

_MOST_TOKEN_ID = 2**31


def text_or_ids(*, most_items: int, most_ids: int) -> Check:
    """
    A check of such a field.

    Args:
        most_items: How many texts, or lists of ids, a call may have.
        most_ids: How many token ids, in all of them together.
    """

    def check(name: str, value: Any) -> None:
        if isinstance(value, str):
            return
        if not isinstance(value, list) or not value:
            raise wrong(name, value, "a text, or a list of texts or of token ids")
        if all(type(one) is int for one in value):
            ids = _ids(name, value)
        elif len(value) > most_items:
            words = f"{name} has {len(value)} items; OpenAI takes {most_items} in a call"
            raise BodyNotUnderstood(words, name)
        elif all(isinstance(one, str) for one in value):
            return
        else:
            ids = sum(_lists(name, value))
        if ids > most_ids:
            words = f"{name} has {ids} tokens; OpenAI takes {most_ids} in a call"
            raise BodyNotUnderstood(words, name)

    return check


def items_of(value: Any) -> list[Any]:
    """The items of a checked field, each a text or a list of token ids."""
    if isinstance(value, str) or type(value[0]) is int:
        return [value]
    return list(value)


def most_tokens(value: Any) -> int:
    """The most tokens of a checked field: one for a byte of text, one for each token id."""
    return sum(len(one.encode() if isinstance(one, str) else one) for one in items_of(value))


def counted_tokens(value: Any, encoding: str) -> int:
    """The tokens of a checked field; blocks."""
    return sum(
        count(one, encoding) if isinstance(one, str) else len(one) for one in items_of(value)
    )


def _lists(name: str, value: list[Any]) -> Iterator[int]:
    for place, one in enumerate(value):
        if not isinstance(one, list) or not one:
            raise BodyNotUnderstood(f"{name} must be texts only, or lists of token ids only", name)
        yield _ids(f"{name}[{place}]", one)


def _ids(name: str, ids: list[Any]) -> int:
    if not all(type(one) is int and 0 <= one < _MOST_TOKEN_ID for one in ids):
        raise BodyNotUnderstood(f"{name} must be a list of token ids, which are whole", name)
    return len(ids)
