"""The reader of a response: every byte passes on, and the usage is known whatever the splits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metering.responses import reply
from metering.responses.reply import ResponsesReader
from metering.sse import Events
from metering.tokens import count
from metering.usage import Unit, Usage
from tests.metering.responses.replies import (
    ENCODING,
    PROMPT,
    RECORDED,
    STREAMS,
    delta,
    ended,
    event,
    read,
    reader,
    used,
)

STORY = count("Once upon a time, there was a meter.", ENCODING)


def seen(watching: ResponsesReader) -> tuple[object, ...]:
    return (
        watching.usage(),
        watching.source,
        watching.model,
        watching.tier,
        watching.upstream_id,
        watching.saw_done,
        watching.error,
        watching.flagged,
    )


# What each recorded stream used, read off its last event by hand, and how it is known.
REPORTED: dict[str, dict[Unit, int]] = {
    "cached": {
        Unit.INPUT: 500,
        Unit.CACHED_INPUT: 5_000,
        Unit.CACHE_WRITE_30M: 1_500,
        Unit.CACHE_WRITE_12H: 2_000,
        Unit.OUTPUT: 10,
    },
    "code_interpreter": {Unit.INPUT: 1_960, Unit.OUTPUT: 88, Unit.CONTAINERS: 2},
    "crlf": {Unit.INPUT: 36, Unit.OUTPUT: 10},
    "custom_tool": {Unit.INPUT: 91, Unit.OUTPUT: 24},
    "failed": {Unit.INPUT: 36, Unit.OUTPUT: 3},
    "file_search": {Unit.INPUT: 4_210, Unit.OUTPUT: 52, Unit.FILE_SEARCHES: 1},
    "functions": {Unit.INPUT: 82, Unit.OUTPUT: 38},
    "incomplete": {Unit.INPUT: 36, Unit.OUTPUT: 64},
    "long_priority": {
        Unit.INPUT: 150_000,
        Unit.CACHED_INPUT: 100_000,
        Unit.CACHE_WRITE_30M: 50_000,
        Unit.OUTPUT: 2_000,
    },
    "mcp": {Unit.INPUT: 640, Unit.OUTPUT: 31},
    "quotes": {Unit.INPUT: 60, Unit.OUTPUT: 44},
    "reasoning": {Unit.INPUT: 36, Unit.OUTPUT: 394},
    "refusal": {Unit.INPUT: 41, Unit.OUTPUT: 12},
    "text": {Unit.INPUT: 36, Unit.OUTPUT: 10},
    "two_messages": {Unit.INPUT: 120, Unit.OUTPUT: 61},
    "web_search": {
        Unit.INPUT: 13_224,
        Unit.CACHED_INPUT: 4_096,
        Unit.OUTPUT: 142,
        Unit.WEB_SEARCHES: 1,
    },
    "web_search_untold": {Unit.INPUT: 25_010, Unit.OUTPUT: 171, Unit.WEB_SEARCHES: 2},
}
COUNTED = {
    "cut": count("Once upon a time,", ENCODING),
    "error": count("Once upon a time,", ENCODING),
    "unended": STORY,
    "without_usage": STORY,
}


def test_every_recorded_stream_is_looked_at() -> None:
    """22 of them; what one used is in a table here."""
    assert {*REPORTED, *COUNTED, "failed_without_usage"} == set(STREAMS)
    assert len(STREAMS) == 22
    assert RECORDED.is_dir()


@pytest.mark.parametrize("name", REPORTED)
def test_usage_is_what_openai_reports(name: str) -> None:
    """From the last event, which holds the whole response."""
    passed_on, watching = read(Events().feed(STREAMS[name]))

    assert passed_on == STREAMS[name]
    assert watching.usage() == Usage(REPORTED[name])
    assert (watching.source, watching.saw_done, watching.flagged) == ("reported", True, [])
    assert watching.model == "gpt-6-sol-2026-10-12"
    tiers = {"cached": "flex", "long_priority": "priority"}
    assert watching.tier == tiers.get(name, "default")
    assert watching.upstream_id is not None
    assert watching.upstream_id.startswith("resp_")
    assert watching.error == ("server_error" if name == "failed" else None)


@pytest.mark.parametrize("name", COUNTED)
def test_without_usage_the_text_is_counted(name: str) -> None:
    """Once, though it comes in pieces, whole, within its item and within the response."""
    passed_on, watching = read(Events().feed(STREAMS[name]) or [STREAMS[name]])

    assert STREAMS[name].startswith(passed_on)
    assert watching.source == "counted"
    assert watching.usage() == Usage({Unit.INPUT: PROMPT, Unit.OUTPUT: COUNTED[name]})
    assert watching.saw_done == (name == "without_usage")
    assert watching.error == ("server_error" if name == "error" else None)


def test_a_response_that_failed_before_any_text_used_nothing() -> None:
    """OpenAI reports no usage and there is nothing to count."""
    _, watching = read([STREAMS["failed_without_usage"]])

    assert (watching.source, watching.usage()) == ("none", Usage())
    assert watching.error == "rate_limit_exceeded"


@pytest.mark.parametrize("name", STREAMS)
def test_split_at_every_byte_gives_the_same_usage_and_bytes(name: str) -> None:
    """A network cuts where it likes, also within the last event and its line ends."""
    stream = STREAMS[name]
    whole = seen(read([stream])[1])

    for cut in range(1, len(stream)):
        passed_on, watching = read([stream[:cut], stream[cut:]])
        assert passed_on == stream, cut
        assert seen(watching) == whole, cut


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 7, 97])
def test_small_chunks_give_the_same_usage_and_bytes(name: str, size: int) -> None:
    """One byte at a time is the worst case."""
    stream = STREAMS[name]
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    passed_on, watching = read(chunks)

    assert passed_on == stream
    assert seen(watching) == seen(read([stream])[1])


def test_every_chunk_is_passed_on_as_the_same_object() -> None:
    """Nothing is copied and nothing is ever kept back."""
    watching = reader()

    for chunk in [b"data: {", *Events().feed(STREAMS["text"]), b"<html>"]:
        assert watching.feed(chunk) is chunk
    assert watching.finish() == b""


def test_an_event_of_text_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the three events that hold the response are."""
    decoded: list[bytes] = []
    decode = reply._decode

    def watched(data: bytes) -> Any:
        decoded.append(data)
        return decode(data)

    monkeypatch.setattr(reply, "_decode", watched)

    read(Events().feed(STREAMS["reasoning"]))

    kinds = [json.loads(data)["type"] for data in decoded]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]


def test_the_first_event_names_the_response() -> None:
    """Its id must be known before a byte of it leaves, because it may be stored."""
    watching = reader()
    watching.feed(Events().feed(STREAMS["text"])[0])

    assert watching.upstream_id == json.loads(STREAMS["text"].split(b"\n")[1][6:])["response"]["id"]
    assert (watching.source, watching.so_far()) == ("counted", 0)


def test_text_that_speaks_of_a_response_is_only_text() -> None:
    """The one word between quotes is looked at and found harmless; it counts as text."""
    _, watching = read([delta("response"), delta("error"), delta('"response":{"usage":{}}')])

    assert (watching.error, watching.model, watching.flagged) == (None, None, [])
    text = 'responseerror"response":{"usage":{}}'
    assert watching.usage()[Unit.OUTPUT] == count(text, ENCODING)


def test_a_text_that_is_said_again_whole_is_counted_once() -> None:
    """`response.output_text.done` repeats what came in pieces."""
    whole = event("response.output_text.done", output_index=0, content_index=0, text="Once upon")
    _, watching = read([delta("Once"), delta(" upon"), whole])

    assert watching.usage()[Unit.OUTPUT] == count("Once upon", ENCODING)
    assert watching.so_far() == 3


def test_usage_of_a_response_that_goes_on_is_not_the_last_word() -> None:
    """A stream that breaks after it is counted."""
    _, watching = read([ended("response.in_progress", usage=used(7, 1)), delta("Once upon")])

    assert (watching.source, watching.saw_done) == ("counted", False)


def test_a_last_event_by_a_new_name_is_read_all_the_same() -> None:
    """Every event with a response ends it, but for the three that begin it."""
    _, watching = read([delta("Once"), ended("response.cancelled", usage=used())])

    assert (watching.source, watching.saw_done) == ("reported", True)


def test_explicit_zero_is_not_replaced_by_a_count() -> None:
    """Zero tokens are what OpenAI billed."""
    _, watching = read([delta("Once"), ended(usage=used(0, 0))])

    assert (watching.usage(), watching.source) == (Usage(), "reported")


@pytest.mark.parametrize(
    "usage",
    [
        used(-1, 3),
        used(7, -3),
        used(7.5, 3),
        used(True, 3),
        used("7", 3),
        used(10**12, 3),
        {"input_tokens": 7},
        [],
        "many",
    ],
)
def test_usage_that_is_none_is_counted_and_flagged(usage: Any) -> None:
    """Negative, broken, absurd or half: the text is counted."""
    _, watching = read([delta("Once"), ended(usage=usage)])

    assert (watching.source, watching.flagged) == ("counted", ["usage_not_understood"])
    assert watching.usage() == Usage({Unit.INPUT: PROMPT, Unit.OUTPUT: count("Once", ENCODING)})


def test_an_event_longer_than_all_bounds_is_flagged_and_passed_on() -> None:
    """Memory stays bounded; the call is then counted."""
    watching = reader(most_event_bytes=2_000)
    stream = delta("Once") + ended(usage=used(), instructions="x" * 5_000)
    passed_on = b"".join(watching.feed(stream[at : at + 500]) for at in range(0, len(stream), 500))

    assert passed_on + watching.finish() == stream
    assert "event_too_long" in watching.flagged
    assert watching.source == "counted"


@pytest.mark.parametrize(
    "broken", [b"data: {not json\n\n", b'data: {"response":\n\n', b"data: \xff\n\n"]
)
def test_an_event_that_is_no_json_does_not_stop_the_stream(broken: bytes) -> None:
    """The usage that follows is read."""
    passed_on, watching = read([broken, ended(usage=used())])

    assert passed_on.startswith(broken)
    assert watching.usage() == Usage({Unit.INPUT: 7, Unit.OUTPUT: 3})


@pytest.mark.parametrize("output", [None, 3, "x_call", [3, "y_call", None], {"a_call": 1}])
def test_a_strange_output_does_not_hide_the_usage(output: Any) -> None:
    """Its items are only looked at for calls of tools."""
    _, watching = read([ended(usage=used(), output=output)])

    assert watching.usage() == Usage({Unit.INPUT: 7, Unit.OUTPUT: 3})


def test_the_older_shape_of_an_error_is_known_too() -> None:
    """`{"error": {…}}`, as chat completions send it."""
    _, watching = read([event("error", error={"code": "server_error", "message": "secret"})])

    assert (watching.error, watching.source) == ("server_error", "none")


def test_long_stream_keeps_its_text_only() -> None:
    """The JSON around 20,000 short texts is not kept in memory."""
    watching = reader()
    for _ in range(20_000):
        watching.feed(delta("ab "))

    assert sum(map(len, watching._text._raw)) <= 65_536 + 200
    assert watching.usage()[Unit.OUTPUT] == count("ab " * 20_000, ENCODING)
