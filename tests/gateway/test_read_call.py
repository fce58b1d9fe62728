"""Reading a call: the body is bounded and put together, the labels are found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.endpoints import CHAT_COMPLETIONS
from gateway.errors import (
    BodyTooLarge,
    EncodingNotAccepted,
    RequestRefused,
)
from gateway.read_call import ClientLeft, read_body, read_call, read_labels, read_name

pytestmark = pytest.mark.anyio


class Body:
    """A body that comes in pieces."""

    def __init__(self, *pieces: bytes, whole: bool = True) -> None:
        self._pieces = list(pieces)
        self._whole = whole
        self.read = 0

    async def __call__(self) -> dict[str, object]:
        if not self._pieces:
            return {"type": "http.disconnect"}
        self.read += 1
        piece = self._pieces.pop(0)
        more = bool(self._pieces) or not self._whole
        return {"type": "http.request", "body": piece, "more_body": more}


async def test_a_body_is_put_together():
    """However many pieces it comes in, empty ones too."""
    assert await read_body([], Body(b"ab", b"", b"c"), most_bytes=3) == b"abc"
    assert await read_body([], Body(b""), most_bytes=3) == b""


async def test_a_body_that_is_announced_too_long_is_not_read():
    """Nor is one that is packed."""
    body = Body(b"abcd")

    with pytest.raises(BodyTooLarge):
        await read_body([(b"content-length", b"4")], body, most_bytes=3)
    with pytest.raises(EncodingNotAccepted):
        await read_body([(b"content-encoding", b"gzip")], body, most_bytes=3)

    assert body.read == 0


async def test_a_body_is_not_read_beyond_the_limit():
    """What is more than may be stays where it is."""
    body = Body(b"ab", b"cd", b"ef", b"gh")

    with pytest.raises(BodyTooLarge):
        await read_body([], body, most_bytes=3)

    assert body.read == 2


async def test_a_caller_that_leaves_in_the_middle_is_not_waited_for():
    """There is nobody to answer."""
    with pytest.raises(ClientLeft):
        await read_body([], Body(b"ab", whole=False), most_bytes=3)


async def test_an_encoding_of_identity_is_none():
    """Some clients say so."""
    assert await read_body([(b"content-encoding", b"Identity")], Body(b"a"), most_bytes=3) == b"a"


@pytest.mark.parametrize("padding", [0, 300_000])
async def test_a_call_says_what_was_asked(padding):
    """Read here when short, in a thread when long; the same either way."""
    body = json.dumps({"model": "m", "stream": True, "x": "a" * padding}).encode()

    call = await read_call(CHAT_COMPLETIONS, body)

    assert (call.endpoint, call.model, call.streams) == ("chat.completions", "m", True)
    assert call.body_bytes == len(body)
    assert call.fields["x"] == "a" * padding


async def test_an_error_repeats_nothing_of_the_body():
    """It may be a prompt."""
    for body in (b'{"secret": secret}', b'"secret"', b'{"secret": 1e999}', b"secret"):
        with pytest.raises(RequestRefused) as refused:
            await read_call(CHAT_COMPLETIONS, body)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "fields", "user", "feature"),
    [
        ([], {}, None, "default"),
        ([(b"x-user", b"ama"), (b"x-feature", b"chat")], {}, "ama", "chat"),
        ([(b"x-user", b"ama")], {"user": "kofi"}, "ama", "default"),
        ([], {"user": "kofi"}, "kofi", "default"),
        ([], {"user": "kofi", "safety_identifier": "esi"}, "esi", "default"),
        ([], {"metadata": {"feature": "chat"}}, None, "chat"),
        ([(b"x-feature", b"a")], {"metadata": {"feature": "b"}}, None, "a"),
        ([(b"x-feature", "café".encode())], {}, None, "café"),
        ([(b"x-user", b"")], {"user": 7, "metadata": []}, None, "default"),
        ([], {"user": "a\nb", "metadata": {"feature": "a\nb"}}, None, "default"),
        ([], {"user": "u" * 300}, "u" * 200, "default"),
    ],
)
def test_user_and_feature_come_from_the_headers_first(headers, fields, user, feature):
    """Then from the body, then the key's default; a wrong one in the body is left out."""
    labels = read_labels(headers, fields, "default")

    assert (labels.user, labels.feature) == (user, feature)


@pytest.mark.parametrize(
    ("headers", "may_fit", "in_stream"),
    [
        ([], True, False),
        ([(b"x-credits-fit", b"never")], False, False),
        ([(b"x-credits-fit", b"affordable"), (b"x-credits-in-stream", b"1")], True, True),
        ([(b"x-credits-in-stream", b"true")], True, False),
    ],
)
def test_what_the_caller_wants_is_read(headers, may_fit, in_stream):
    """X-Credits-Fit and X-Credits-In-Stream."""
    labels = read_labels(headers, {}, None)

    assert (labels.may_fit, labels.figures_in_stream) == (may_fit, in_stream)


# The name of a call


def name_of(*keys: bytes, body: bytes = b"{}", **labels: str) -> Any:
    given = [(b"idempotency-key", key) for key in keys]
    said = [(f"x-{name}".encode(), value.encode()) for name, value in labels.items()]
    return read_name(given, CHAT_COMPLETIONS, body, read_labels(said, {}, None))


def test_a_call_is_named_by_its_key_and_by_all_that_it_asks_for():
    """Digests of both; another body, feature or user is another request."""
    name = name_of(b"order-17")

    assert name == name_of(b"order-17")
    assert name.key != name_of(b"order-18").key
    assert name.asked == name_of(b"order-18").asked
    others = [name_of(b"order-17", body=b"{} "), name_of(b"order-17", feature="x")]
    others.append(name_of(b"order-17", user="x"))
    assert len({other.asked for other in (*others, name)}) == 4
    assert {other.key for other in others} == {name.key}
    assert name_of() is None


@pytest.mark.parametrize("key", [b"", b" a", b"a b", b"a" * 256, b"caf\xc3\xa9", b"a\x7f", b"a\n"])
def test_a_key_that_could_be_read_in_two_ways_is_no_name(key: bytes):
    """1 to 255 printable ASCII characters without blanks, once."""
    for keys in ([key], [b"a", b"a"]):
        with pytest.raises(RequestRefused, match="Idempotency-Key"):
            name_of(*keys)
