"""Every recorded stream, with the usage that its own figures amount to, worked out by hand."""

from __future__ import annotations

import pytest

from metering.call import Call
from metering.chat.reply import ChatReader
from metering.sse import Events
from tests.metering.chat.replies import ENCODING, FIELDS, STREAMS
from tests.rows import SENSES, TEXT

USAGE: dict[str, dict[str, int]] = {
    "chat_stream": {"input": 56, "cached_input": 1024, "cache_write_30m": 100, "output": 79},
    "chat_stream_audio": {"input": 16, "audio_input": 104, "output": 20, "audio_output": 66},
    "chat_stream_image": {
        # 1,105 of which 1,089 images; 1,024 cached, of them 1,012 of images.
        "input": 4,
        "cached_input": 12,
        "image_input": 77,
        "cached_image_input": 1012,
        "output": 7,
    },
    "chat_stream_search": {"input": 8412, "output": 9, "web_searches": 1},
    "chat_stream_search_counted": {"input": 9000, "output": 5, "web_searches": 3},
    "chat_stream_flex": {"input": 15, "cached_input": 5, "output": 4},
    "chat_stream_priority": {"input": 11, "output": 2},
    "chat_stream_three_choices": {"input": 9, "output": 6},
    "chat_stream_refusal": {"input": 14, "output": 9},
    "chat_stream_prediction": {"input": 60, "output": 40},
    "chat_stream_logprobs": {"input": 8, "output": 2},
    "chat_stream_custom_tool": {"input": 50, "output": 12},
    "chat_stream_cache_12h": {
        "input": 1000,
        "cached_input": 1000,
        "cache_write_30m": 1000,
        "cache_write_12h": 2000,
        "output": 4,
    },
    "chat_stream_no_done": {"input": 6, "output": 3},
    "chat_stream_comments": {"input": 6, "output": 2},
    "completions_stream": {"input": 4, "output": 4},
    "completions_stream_two": {"input": 2, "output": 4},
    "completions_stream_crlf": {"input": 3, "output": 12},
    "completions_stream_logprobs": {"input": 5, "output": 1},
    "completions_stream_echo": {"input": 3, "output": 1},
}
ELSEWHERE = {
    *("chat_stream_crlf", "chat_stream_error", "chat_stream_interrupted", "chat_stream_tools"),
    *("completions_stream_error", "completions_stream_interrupted"),
}
"""Read in test_reply.py and test_text.py, or without a usage."""


def test_every_recorded_stream_is_in_the_table() -> None:
    """A new one wants its figures worked out."""
    assert STREAMS.keys() - ELSEWHERE == USAGE.keys()
    assert len(STREAMS) >= 15


@pytest.mark.parametrize("name", USAGE)
def test_recorded_stream_is_read_to_the_last_token(name: str) -> None:
    """With the prices of a model that has all of them."""
    call = Call("chat", "gpt-audio-1.5", FIELDS, True, 100)
    searches = 1 if "search" in name else 0
    watching = ChatReader(
        call, encoding=ENCODING, asked_for_usage=True, prices=TEXT | SENSES, searches=searches
    )
    for event in Events().feed(STREAMS[name]):
        watching.feed(event)
    watching.finish()

    assert watching.usage().as_names() == USAGE[name]
    assert watching.flagged == []
    assert watching.saw_done is (name != "chat_stream_no_done")


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_tier_is_that_of_the_reply(tier: str) -> None:
    """It may be another than was asked for."""
    watching = ChatReader(
        Call("chat", "gpt-5.4", FIELDS, True, 100), encoding=ENCODING, asked_for_usage=True
    )
    watching.feed(STREAMS[f"chat_stream_{tier}"])
    watching.finish()

    assert watching.tier == tier


def test_speech_of_a_stream_that_was_cut_is_counted_by_its_length() -> None:
    """The 128 characters of the two deltas are 96 bytes: 2 ms, which is one token."""
    watching = ChatReader(
        Call("chat", "gpt-audio-1.5", FIELDS, True, 100),
        encoding=ENCODING,
        asked_for_usage=True,
        prices=TEXT | SENSES,
    )
    for event in Events().feed(STREAMS["chat_stream_audio"]):
        if b'"prompt_tokens"' not in event:
            watching.feed(event)
    found = watching.usage().as_names()

    assert watching.source == "counted"
    assert (found["audio_output"], found["output"]) == (1, 8)
