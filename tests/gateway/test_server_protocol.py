"""HTTP as it arrives: what cannot be read is refused in the envelope, and never forwarded."""

from __future__ import annotations

import asyncio

import pytest

from gateway.server_protocol import HEAD_MOST_BYTES
from tests.gateway.raw_caller import HELLO, authorization, request, sends

pytestmark = pytest.mark.anyio

CALL = "/v1/chat/completions"


NOT_HTTP = [
    b"hello\r\n\r\n",
    b"POST /v1/chat completions HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
]

TWO_LENGTHS = [
    "Transfer-Encoding: chunked",
    "Content-Length: 3",
    "Content-Length: 99999999999999999999999999",
    "Content-Length: -1",
    "Transfer-Encoding: xchunked",
]


async def test_what_is_not_http_is_refused_in_the_envelope(house):
    """Also what uvicorn itself would answer with a text."""
    for data in NOT_HTTP:
        answer = await sends(house, data)

        assert (answer.status, answer.error["code"]) == (400, "invalid_request"), data
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-request-id"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["connection"] == "close"


async def test_two_opinions_about_the_length_are_refused(house):
    """Where two servers could see two ends of one body, a second request hides."""
    acme = await house.business()

    for length in TWO_LENGTHS:
        answer = await sends(house, request("POST", CALL, authorization(acme), length, body=HELLO))

        assert (answer.status, answer.error["code"]) == (400, "invalid_request"), length
    assert house.openai.requests == []


async def test_a_body_that_is_shorter_than_it_says_is_waited_for(house):
    """Nothing is forwarded before it is whole; a caller that leaves is told nothing."""
    acme = await house.business()
    line = request("POST", CALL, authorization(acme), body=HELLO)
    host, port = house.url.removeprefix("http://").split(":")

    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(line[:-5])
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert await acme.transactions() == []
    assert house.openai.requests == []
    assert (await house.chat(acme)).status_code == 200


async def test_a_body_that_is_longer_than_it_says_is_cut_there(house):
    """The call is what was announced; the rest is no request and hangs up."""
    acme = await house.business()
    line = request("POST", CALL, authorization(acme), body=HELLO)

    answer = await sends(house, line.replace(b"Connection: close\r\n", b"") + b"}}garbage\r\n\r\n")

    assert answer.status in (200, 400)
    assert all(received.fields["messages"] for received in house.openai.requests)


async def test_a_chunked_body_is_read(house):
    """curl and fetch send one when they do not know the length."""
    acme = await house.business()
    line = request("POST", CALL, authorization(acme), "Transfer-Encoding: chunked")
    line = line.replace(b"Content-Length: 0\r\n", b"")
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (HELLO[:10], HELLO[10:])]

    answer = await sends(house, line, *chunks, b"0\r\n\r\n")

    assert answer.status == 200
    assert len(house.openai.billed) == 1


async def test_a_caller_that_waits_for_100_continue_is_told_to_go_on(house):
    """curl does with a long body; its key is looked at first."""
    acme = await house.business()
    line = request("POST", CALL, authorization(acme), "Expect: 100-continue", body=HELLO)
    head, body = line[: -len(HELLO)], line[-len(HELLO) :]

    unknown = await sends(house, head.replace(acme.key.encode(), b"gw-" + b"x" * 43))
    known = await sends(house, head)
    whole = await sends(house, head + body)

    assert (unknown.status, known.status, whole.status) == (401, 100, 100)


async def test_a_head_that_is_too_long_is_refused(house):
    """431; nobody has shown a key yet, so nobody may fill the memory."""
    acme = await house.business()
    padding = f"X-Padding: {'a' * (HEAD_MOST_BYTES - 100)}"
    line = request("POST", CALL, authorization(acme), padding, body=HELLO)
    assert line.index(b"\r\n\r\n") > HEAD_MOST_BYTES

    answer = await sends(house, line)

    assert (answer.status, answer.error["code"]) == (431, "headers_too_large")
    assert answer.headers["x-should-retry"] == "false"
    assert house.openai.requests == []


async def test_a_head_without_an_end_is_refused(house):
    """Before its end, because there is none."""
    start = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"

    answer = await sends(house, start, b"X-Padding: " + b"a" * (HEAD_MOST_BYTES - len(start)))

    assert answer.status == 431


async def test_a_long_body_is_not_a_long_head(house):
    """Only the head is counted, on each request of a connection anew."""
    acme = await house.business()
    message = {"role": "user", "content": "a" * (2 * HEAD_MOST_BYTES)}

    replies = [await house.chat(acme, messages=[message]) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 200]


async def test_nothing_of_the_server_is_named(house):
    """No version to look up a weakness for."""
    reply = await house.client.get("/healthz")

    assert "server" not in reply.headers
    assert "uvicorn" not in str(reply.headers).lower()
