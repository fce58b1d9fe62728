"""The reader of a reply: every byte passes on, and the usage is known whatever the splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.chat.reply import MOST_USAGE_EVENT_BYTES, ChatReader
from metering.sse import MOST_EVENT_BYTES, Events
from metering.usage import Unit, Usage
from tests.metering.chat.replies import (
    PROMPT,
    RECORDED,
    STREAMS,
    delta,
    event,
    read,
    reader,
    usage_event,
    without_usage_event,
)


def seen(watching: ChatReader) -> tuple[object, ...]:
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


def test_stream_is_read_as_openai_reports_it() -> None:
    """Usage, model, tier and id come from the extra event, which the caller did not ask for."""
    stream = STREAMS["chat_stream"]
    passed_on, watching = read(Events().feed(stream))

    assert passed_on == without_usage_event(stream) != stream
    assert watching.usage() == Usage(
        {Unit.INPUT: 56, Unit.CACHED_INPUT: 1024, Unit.CACHE_WRITE_30M: 100, Unit.OUTPUT: 79}
    )
    assert (watching.source, watching.saw_done, watching.flagged) == ("reported", True, [])
    assert watching.model == "gpt-6-luna-2026-09-15"
    assert watching.tier == "default"
    assert watching.upstream_id == "chatcmpl-CeR1mKx8fPhWUPmZzxGkqzY1Tb2Qs"


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("asked", [False, True])
def test_split_at_every_byte_gives_the_same_usage_and_bytes(name: str, asked: bool) -> None:
    """A network cuts where it likes, also within the usage event and its line ends."""
    stream = STREAMS[name]
    wanted = stream if asked else without_usage_event(stream)
    if name.endswith(("_interrupted", "_error")):
        wanted = stream
    _, whole = read([stream], asked)

    for cut in range(1, len(stream)):
        passed_on, watching = read([stream[:cut], stream[cut:]], asked)
        assert passed_on == wanted, cut
        assert seen(watching) == seen(whole), cut


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 7, 97])
def test_small_chunks_give_the_same_usage_and_bytes(name: str, size: int) -> None:
    """One byte at a time is the worst case."""
    stream = STREAMS[name]
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    passed_on, watching = read(chunks)

    assert passed_on == read([stream])[0]
    assert seen(watching) == seen(read([stream])[1])


def test_only_an_event_that_may_be_usage_is_held_back() -> None:
    """An unfinished event with a choice is passed on at once, and everything before it."""
    stream = STREAMS["chat_stream"]

    for cut in range(1, len(stream)):
        split = Events()
        ended = without_usage_event(b"".join(split.feed(stream[:cut])))
        begun = split.rest if b'"choices":[{' in split.rest else b""

        assert reader().feed(stream[:cut]) == ended + begun


def test_caller_who_asked_gets_the_same_objects() -> None:
    """Nothing is copied, nothing is taken out."""
    watching = reader(asked=True)

    for chunk in Events().feed(STREAMS["chat_stream"]):
        assert watching.feed(chunk) is chunk


def test_usual_event_is_passed_on_as_the_same_object() -> None:
    """An event of text is not decoded, held or copied."""
    watching = reader()

    for chunk in (delta("a"), delta("b", usage=None), b"data: [DONE]\n\n"):
        assert watching.feed(chunk) is chunk


def test_stream_that_is_not_sse_does_not_stall() -> None:
    """Bytes that cannot begin an event are passed on at once."""
    watching = reader()

    assert watching.feed(b"<html>") == b"<html>"
    assert watching.feed(b" slow") == b" slow"


def test_endless_event_does_not_stall() -> None:
    """What has grown too long to be the usage event is passed on."""
    watching = reader()
    begin = b'data: {"usage":"' + b"x" * MOST_USAGE_EVENT_BYTES

    assert watching.feed(begin) == begin
    assert watching.feed(b"more") == b"more"


def test_event_beyond_all_bounds_is_flagged_and_passed_on() -> None:
    """Memory stays bounded and the stream goes on."""
    long = b'data: {"a":"' + b"x" * (MOST_EVENT_BYTES + 5)
    passed_on, watching = read([long, b'"}\n\n', usage_event(), b"data: [DONE]\n\n"])

    assert passed_on == long + b'"}\n\n' + b"data: [DONE]\n\n"
    assert watching.flagged == ["event_too_long"]
    assert watching.source == "reported"


def test_last_usage_wins() -> None:
    """Some servers report as they go."""
    passed_on, watching = read([usage_event(7, 1), delta("a"), usage_event(7, 2)])

    assert watching.usage() == Usage({Unit.INPUT: 7, Unit.OUTPUT: 2})
    assert passed_on == delta("a")


def test_explicit_zero_is_not_replaced_by_a_count() -> None:
    """Zero tokens are what OpenAI billed."""
    _, watching = read([delta("Once"), usage_event(0, 0)])

    assert (watching.usage(), watching.source) == (Usage(), "reported")


def test_usage_with_a_choice_is_read_and_kept() -> None:
    """Some servers put it into the last event of text, which the caller needs."""
    stream = event(
        choices=[{"index": 0, "delta": {"content": "x"}}],
        usage={"prompt_tokens": 7, "completion_tokens": 3},
    )
    passed_on, watching = read([stream])

    assert (passed_on, watching.usage().tokens) == (stream, 10)


def test_empty_choices_without_usage_are_passed_on() -> None:
    """Azure begins a stream with such an event."""
    stream = event(choices=[], prompt_filter_results=[]) + event(choices=[], usage=None)

    assert read([stream])[0] == stream


def test_text_that_speaks_of_usage_is_only_text() -> None:
    """Quotes within a text are escaped, so they never look like a field."""
    stream = delta('"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}')
    passed_on, watching = read([stream])

    assert passed_on == stream
    assert watching.source == "counted"


@pytest.mark.parametrize("blank", ["", " ", "\n", " \t"])
def test_blanks_in_the_json_do_not_matter(blank: str) -> None:
    """Other servers format theirs; a line break within an event makes a second data line."""
    text = (
        f'{{"choices":{blank}[{blank}],"usage":{blank}{{"prompt_tokens":7,"completion_tokens":3}}}}'
    )
    stream = b"".join(b"data: " + line.encode() + b"\n" for line in text.split("\n")) + b"\n"

    assert read([stream])[0] == b""
    assert read([stream])[1].usage().tokens == 10


def test_unfinished_last_event_with_usage_counts() -> None:
    """A server that forgets the last blank line has still said what it bills."""
    passed_on, watching = read([delta("a"), usage_event()[:-1]])

    assert (passed_on, watching.usage().tokens) == (delta("a"), 10)


def test_bad_usage_is_counted_and_flagged() -> None:
    """A figure that is not to be believed is neither charged nor hidden."""
    _, watching = read([delta("Once"), usage_event(completion=-5)])

    assert watching.usage() == Usage({Unit.INPUT: PROMPT, Unit.OUTPUT: 1})
    assert (watching.source, watching.flagged) == ("counted", ["usage_not_understood"])


def test_error_in_the_middle_is_noted_without_its_text() -> None:
    """The code is ours to log; the message may quote the prompt."""
    passed_on, watching = read([STREAMS["chat_stream_error"]])

    assert passed_on == STREAMS["chat_stream_error"]
    assert (watching.error, watching.source) == ("server_error", "counted")


def test_error_and_usage_among_other_events_of_one_chunk_are_found() -> None:
    """A chunk of many events is looked at as a whole."""
    failed = event(error={"message": "no", "code": "late"})
    passed_on, watching = read([delta("a") * 3 + usage_event() + delta("b") + failed + delta("c")])

    assert passed_on == delta("a") * 3 + delta("b") + failed + delta("c")
    assert (watching.error, watching.usage().tokens) == ("late", 10)


def test_error_before_any_text_used_nothing() -> None:
    """OpenAI bills no failed call."""
    _, watching = read([event(error={"message": "no", "type": "server_error", "code": None})])

    assert (watching.usage(), watching.source) == (Usage(), "none")
    assert watching.error == "server_error"


@pytest.mark.parametrize(
    "junk", [b"data: {\n\n", b"data: \xff\n\n", b"data: []\n\n", b"data: 5\n\n"]
)
def test_junk_is_passed_on_and_harms_nothing(junk: bytes) -> None:
    """A broken upstream does not break the reader."""
    passed_on, watching = read([junk, delta("Once"), usage_event()])

    assert passed_on == junk + delta("Once")
    assert watching.source == "reported"


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b'data: {"usage":{', b"\n\n", b"}"])))
def test_no_bytes_break_the_reader(chunks: list[bytes]) -> None:
    """Whatever comes is passed on, except a usage event."""
    passed_on, watching = read(chunks)

    assert passed_on == b"".join(chunks)
    watching.usage()


def test_json_reply_is_read() -> None:
    """Usage, model, tier and id are at its top."""
    watching = reader()
    watching.feed_json((RECORDED / "chat_reply.json").read_bytes())

    assert watching.usage() == Usage({Unit.INPUT: 19, Unit.OUTPUT: 10})
    assert (watching.source, watching.tier) == ("reported", "default")
    assert watching.model == "gpt-6-luna-2026-09-15"
    assert watching.finish() == b""


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"usage":', b"\xff"])
def test_reply_that_is_not_json_is_flagged(body: bytes) -> None:
    """The prompt was sent, so it is counted; there is no text to count."""
    watching = reader()
    watching.feed_json(body)

    assert watching.flagged == ["reply_not_understood"]
    assert watching.usage() == Usage({Unit.INPUT: PROMPT})
