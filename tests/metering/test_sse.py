"""Events are found whatever the splits and the line ends, and no byte is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.sse import MOST_EVENT_BYTES, Events, data_of

RECORDED = sorted((Path(__file__).parents[1] / "recorded").glob("*.sse"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_split_at_every_byte_gives_the_same_events(path: Path) -> None:
    """A network cuts where it likes."""
    stream = path.read_bytes()
    whole = Events().feed(stream)

    for cut in range(len(stream) + 1):
        events = Events()
        assert events.feed(stream[:cut]) + events.feed(stream[cut:]) == whole


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: x", b":", b"a"])), st.data())
def test_events_and_rest_are_the_bytes_that_were_fed(
    pieces: list[bytes], data: st.DataObject
) -> None:
    """Nothing is added and nothing is swallowed."""
    stream = b"".join(pieces)
    events, seen = Events(), []
    start = 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        seen += events.feed(stream[start:end])
        start = end

    assert b"".join(seen) + events.rest == stream
    assert len(events) == len(events.rest)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_ends_an_event(end: bytes) -> None:
    """LF, CR LF and CR are the same."""
    first, second = b"event: a" + end + b"data: 1" + end * 2, b"data: 2" + end * 2
    events = Events().feed(first + second)

    assert events == [first, second]
    assert [data_of(event) for event in events] == [b"1", b"2"]


def test_carriage_return_at_the_end_of_a_chunk_waits_for_its_line_feed() -> None:
    """CR LF CR may be the first three quarters of a blank line."""
    events = Events()

    assert events.feed(b"data: 1\r\n\r") == []
    assert events.feed(b"\ndata") == [b"data: 1\r\n\r\n"]
    assert events.rest == b"data"


def test_endless_event_is_passed_on_and_marked() -> None:
    """Memory is bounded, and the event after it is found again."""
    events = Events()
    seen = events.feed(b"data: " + b"x" * MOST_EVENT_BYTES)
    seen += events.feed(b"yz\n\ndata: 1\n\n")

    assert events.overflowed
    assert seen[1:] == [b"yz\n\n", b"data: 1\n\n"]
    assert events.rest == b""


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: 1\ndata: 2\n\n", b"1\n2"),
        (b"data:1\n\n", b"1"),
        (b"data:  1\n\n", b" 1"),
        (b": comment\n\n", b""),
        (b"id: 7\ndata: 1\nretry: 5\n\n", b"1"),
        (b"data: cut", b"cut"),
    ],
)
def test_data_is_read_as_the_standard_says(event: bytes, data: bytes) -> None:
    """One blank after the colon is not part of it; several lines are joined."""
    assert data_of(event) == data
