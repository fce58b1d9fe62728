"""The usage of an embeddings call, as reported or counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metering.embeddings.reader import LONG_BYTES, EmbeddingsReader
from metering.usage import Unit, Usage


def reader() -> EmbeddingsReader:
    return EmbeddingsReader(lambda: 42)


def reply(usage: Any = None, *, numbers: int = 3, **fields: Any) -> bytes:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25] * numbers}]
    body = {"object": "list", "data": data, "model": "text-embedding-3-small", **fields}
    return json.dumps(body if usage is None else body | {"usage": usage}).encode()


@pytest.mark.parametrize("numbers", [3, LONG_BYTES])
@pytest.mark.parametrize("tokens", [0, 1, 299_999])
def test_reported_tokens_are_the_usage(tokens: int, numbers: int) -> None:
    """Of a short reply and of a long one, of which only the ends are read; zero is zero."""
    watching = reader()
    watching.feed_json(reply({"prompt_tokens": tokens, "total_tokens": tokens}, numbers=numbers))

    assert watching.usage() == Usage({Unit.INPUT: tokens})
    assert (watching.source, watching.model) == ("reported", "text-embedding-3-small")
    assert watching.flagged == []


@pytest.mark.parametrize("numbers", [3, LONG_BYTES])
@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "5"}])
def test_without_a_usage_the_input_is_counted(usage: Any, numbers: int) -> None:
    """Whatever stands in its place."""
    watching = reader()
    watching.feed_json(reply(usage, numbers=numbers))

    assert (watching.source, watching.usage()) == ("counted", Usage({Unit.INPUT: 42}))


def test_error_with_a_status_of_200_costs_nothing() -> None:
    """OpenAI gave nothing."""
    watching = reader()
    watching.feed_json(b'{"error": {"code": "server_error", "message": "no"}}')

    assert (watching.error, watching.source, watching.usage()) == ("server_error", "none", Usage())


def test_reply_that_is_no_json_is_flagged_and_counted() -> None:
    """It came with 200, so it was billed."""
    watching = reader()
    watching.feed_json(b"<html>")

    assert watching.flagged == ["reply_not_understood"]
    assert watching.usage() == Usage({Unit.INPUT: 42})


def test_nothing_seen_is_nothing_known() -> None:
    """The main path then asks the meter what a call unseen costs."""
    assert (reader().source, reader().usage(), reader().finish()) == ("none", Usage(), b"")
