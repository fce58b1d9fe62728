"""The reader of a response that comes in one piece."""

from __future__ import annotations

import json

import pytest

from metering.sse import Events
from metering.usage import Unit, Usage
from tests.metering.responses.replies import (
    STREAMS,
    read,
    read_json,
    used,
)


def test_json_reply_is_read_as_openai_reports_it() -> None:
    """The same object as in the last event of a stream."""
    last = json.loads(STREAMS["cached"].split(b"data: ")[-1])["response"]
    watching = read_json(json.dumps(last, indent=2).encode())

    assert watching.usage() == read([STREAMS["cached"]])[1].usage()
    assert (watching.tier, watching.upstream_id) == ("flex", last["id"])


@pytest.mark.parametrize("name", ["text", "functions", "custom_tool", "refusal", "two_messages"])
def test_json_reply_without_usage_is_counted_as_its_stream_would_be(name: str) -> None:
    """Names and arguments of functions, refusals and summaries are output like any text."""
    last = json.loads(STREAMS[name].split(b"data: ")[-1])["response"]
    stream = b"".join(Events().feed(STREAMS[name])[:-1])
    counted = read_json(last | {"usage": None}).usage()

    assert counted == read([stream])[1].usage()
    assert counted[Unit.OUTPUT] > 0


def test_json_reply_that_failed_is_an_error() -> None:
    """It used what it says, or nothing."""
    failed = {"id": "resp_1", "status": "failed", "error": {"code": "server_error"}, "output": []}

    assert read_json(failed | {"usage": used()}).source == "reported"
    assert read_json(failed | {"usage": None}).source == "none"
    assert read_json(failed).error == "server_error"


def test_a_body_that_is_no_json_is_flagged() -> None:
    """It came with 200 all the same, so the prompt is charged."""
    watching = read_json(b"<html>")

    assert (watching.source, watching.flagged) == ("counted", ["reply_not_understood"])


def test_a_compaction_is_read_like_a_response() -> None:
    """It has no model, no tier and no status."""
    watching = read_json(
        {
            "id": "resp_9",
            "object": "response.compaction",
            "output": [{"type": "compaction", "encrypted_content": "gAAAAAB"}],
            "usage": used(900, 80, cached_tokens=100),
        }
    )

    assert watching.usage() == Usage({Unit.INPUT: 800, Unit.CACHED_INPUT: 100, Unit.OUTPUT: 80})
    assert (watching.model, watching.tier) == (None, None)
