"""Bytes → reply, whatever the bytes are."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.http1_parser import HEAD_MAX_BYTES, ReplyParser

WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\ndata: a\r\n3;x=y\r\nb\n\n\r\n0\r\n\r\n"
)


def read(*pieces: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool, bool]:
    """Status, headers, body, whether it is whole, and whether something is wrong."""
    parser = ReplyParser()
    body = b""
    for piece in pieces:
        wrong = parser.feed(piece)
        body += parser.take()
        if wrong is not None:
            assert isinstance(wrong, httpx2.RemoteProtocolError)
            return parser.status, parser.headers, body, parser.complete, True
    return parser.status, parser.headers, body, parser.complete, False


@pytest.mark.parametrize("piece", [b"a" * 10_000, b": b", b"\r\nx-a: " + b"b" * 3000])
def test_head_without_an_end_is_not_collected(piece: bytes) -> None:
    """Whatever it is that never ends, a name, a value or the list, it is refused in time."""
    parser = ReplyParser()
    assert parser.feed(b"HTTP/1.1 200 OK\r\nx-a") is None

    fed = 0
    while parser.feed(piece) is None:
        fed += len(piece)

    assert fed <= HEAD_MAX_BYTES


@given(cuts=some.lists(some.integers(0, len(WHOLE)), max_size=6))
def test_reply_cut_anywhere_is_the_same(cuts: list[int]) -> None:
    """What is read does not depend on how the network cut it."""
    places = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[start:end] for start, end in zip(places, places[1:], strict=False)]

    assert read(*pieces) == read(WHOLE)
    assert read(WHOLE)[2:] == (b"data: ab\n\n", True, False)


@given(place=some.integers(0, len(WHOLE)), noise=some.binary(max_size=40), drop=some.integers(0, 9))
def test_damaged_reply_is_an_error_or_a_reply(place: int, noise: bytes, drop: int) -> None:
    """Nothing but the one kind of error comes out, wherever the bytes are damaged."""
    read(WHOLE[:place] + noise + WHOLE[place + drop :])


@given(some.lists(some.binary(max_size=200), max_size=8))
def test_noise_is_an_error_or_nothing(pieces: list[bytes]) -> None:
    """Arbitrary bytes never make a reply that is whole."""
    *_, complete, _ = read(*pieces)

    assert not complete
