"""The text of a reply is counted, every kind of it, when no usage came."""

from __future__ import annotations

import json

import pytest

from metering.tokens import count
from metering.usage import Unit, Usage
from tests.metering.chat.replies import (
    ENCODING,
    PROMPT,
    STREAMS,
    delta,
    event,
    read,
    reader,
)


def test_every_choice_and_kind_of_text_is_counted() -> None:
    """Tool calls, refusals, reasoning and transcripts are output like any text."""
    stream = b"".join(
        [
            delta("one "),
            delta("two", index=1),
            delta("more"),
            event(choices=[{"index": 0, "delta": {"refusal": "I cannot"}}]),
            event(choices=[{"index": 0, "delta": {"reasoning_content": "thinking hard"}}]),
            event(choices=[{"index": 0, "delta": {"audio": {"transcript": "spoken words"}}}]),
            event(choices=[{"delta": {"function_call": {"name": "f", "arguments": "{}"}}}]),
            event(
                choices=[
                    {"index": 1, "delta": {"tool_calls": [{"index": 0, "function": {"name": "g"}}]}}
                ]
            ),
            event(
                choices=[
                    {
                        "index": 1,
                        "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "[1]"}}]},
                    }
                ]
            ),
            event(choices=[{"index": 1, "delta": {"tool_calls": [{"custom": {"input": "raw"}}]}}]),
        ]
    )
    _, watching = read([stream])
    texts = ["one more", "two", "I cannot", "thinking hard", "spoken words", "f{}", "g[1]raw"]

    assert watching.usage()[Unit.OUTPUT] == sum(count(text, ENCODING) for text in texts)


def test_checkpoint_grows_with_the_text() -> None:
    """Four bytes are about a token; the JSON around them does not count."""
    watching = reader()
    watching.feed(delta("x" * 40))
    first = watching.so_far()
    watching.feed(delta("y" * 40) * 2000)

    assert (first, watching.so_far()) == (10, 20_010)


def test_long_stream_keeps_its_text_only() -> None:
    """The JSON around 20,000 short texts is not kept in memory."""
    watching = reader()
    for _ in range(20_000):
        watching.feed(delta("ab "))

    assert sum(map(len, watching._text._raw)) <= 65_536 + 100
    assert watching.usage()[Unit.OUTPUT] == count("ab " * 20_000, ENCODING)


def test_interrupted_stream_is_counted_from_its_text() -> None:
    """What was seen is charged: the prompt, and the text of all events."""
    passed_on, watching = read([STREAMS["chat_stream_interrupted"]])
    text = "Once upon a time, there was a meter"

    assert passed_on == STREAMS["chat_stream_interrupted"]
    assert watching.usage() == Usage({Unit.INPUT: PROMPT, Unit.OUTPUT: count(text, ENCODING)})
    assert (watching.source, watching.saw_done) == ("counted", False)
    assert watching.model == "gpt-6-luna-2026-09-15"


def test_json_reply_without_usage_is_counted_from_its_messages() -> None:
    """Every choice is output."""
    choices = [{"index": i, "message": {"content": "Once upon a time"}} for i in range(2)]
    watching = reader()
    watching.feed_json(json.dumps({"id": "x", "choices": choices}, indent=1).encode())

    assert watching.usage() == Usage({Unit.INPUT: PROMPT, Unit.OUTPUT: 8})
    assert watching.source == "counted"


@pytest.mark.parametrize("chunks", [[], [b": keep-alive\n\n"], [b"\n\n"]])
def test_nothing_but_comments_used_nothing(chunks: list[bytes]) -> None:
    """There is nothing that anyone received."""
    _, watching = read(chunks)

    assert (watching.usage(), watching.source) == (Usage(), "none")
