"""A body of several parts on its whole way: admission, the hold, the file, and OpenAI."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway import read_multipart
from gateway.dev import stub_sounds
from tests import house as houses
from tests.gateway.refusal import refusal_in
from tests.house import Acme, House
from tests.media import BOUNDARY, CONTENT_TYPE, in_pieces, multipart, send
from tests.one_house import charged_as_billed, everything, set_up

pytestmark = pytest.mark.anyio

WAV = ("file", "a.wav", stub_sounds.wav(2_000))
TYPED = {"Content-Type": CONTENT_TYPE.decode()}


async def post(acme: Acme, body: bytes | AsyncIterator[bytes], **headers: str) -> httpx2.Response:
    return await acme.house.client.post(
        "/v1/audio/transcriptions", content=body, headers=acme.headers | TYPED | headers
    )


async def test_25_mb_with_the_model_behind_them_go_through_unchanged(house: House):
    """Byte for byte, with its length, and OpenAI bills what it would have billed anyway."""
    acme = await house.business(credits="500.00")
    house.openai.changes(seconds=1_400.0)
    sound = random.Random(3).randbytes(25 * 2**20 - 100)
    body = multipart([("model", "gpt-4o-transcribe")], [("file", "a.mp3", sound)], files_first=True)

    reply = await post(acme, in_pieces(body))

    assert reply.status_code == 200
    (request,) = house.openai.requests
    assert hashlib.sha256(request.body).digest() == hashlib.sha256(body).digest()
    assert request.header(b"content-length") == b"%d" % len(body)
    assert request.header(b"transfer-encoding") == b""
    assert request.header(b"content-type") == CONTENT_TYPE
    await charged_as_billed(acme)


async def test_ten_long_bodies_at_once_leave_the_memory_flat(house: House):
    """What is not in a file is a piece of each; the stub's own copies are not counted."""
    acme = await house.business(credits="500.00")
    body = multipart([("model", "nobody-priced-this")], [("file", "a.mp3", bytes(20_000_000))])
    await post(acme, in_pieces(body))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    replies = await asyncio.gather(*(post(acme, in_pieces(body)) for _ in range(10)))

    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert {reply.status_code for reply in replies} == {400}
    assert grown_kb < 60_000, "ten bodies of 20 MB are 200 MB"


async def test_no_file_stays_open(house: House):
    """Served, refused or given up: the spooled body is gone with its call."""
    acme = await house.business()
    long = ("file", "a.mp3", bytes(1_000_000))
    good, wrong = [("model", "whisper-1")], [("model", "whisper-1"), ("x", "y")]
    await send(acme, "/audio/transcriptions", good, [long])
    await house.quiet()
    before = len(os.listdir("/proc/self/fd"))

    for fields in (good, wrong, [("model", "nobody-priced-this")]) * 3:
        await send(acme, "/audio/transcriptions", fields, [long])
    await send(await house.business("0.00"), "/audio/transcriptions", good, [long])
    await house.quiet()

    assert len(os.listdir("/proc/self/fd")) <= before + 1


async def test_nobody_without_a_key_gets_a_file(house: House, monkeypatch):
    """Who it is and whether we serve at all is asked before a byte of the body is kept."""
    monkeypatch.setattr(read_multipart, "Spool", None)
    acme = await house.business()
    body = multipart([("model", "whisper-1")], [WAV])

    unknown = await post(acme, body, Authorization="Bearer no")
    monkeypatch.setattr(house.parts.loops.backlog, "_most_bytes", 0)
    overloaded = await post(acme, body)

    assert (unknown.status_code, overloaded.status_code) == (401, 503)


async def test_a_body_that_is_no_form_is_refused(house: House):
    """400, with what is taken; nothing held, nothing forwarded."""
    acme = await house.business()
    before = await everything(house)

    for content_type in ("application/json", "multipart/form-data"):
        reply = await post(acme, b'{"model":"whisper-1"}', **{"Content-Type": content_type})
        assert reply.status_code == 400
        assert "multipart/form-data with a boundary" in reply.json()["error"]["message"]

    assert await everything(house) == before
    assert house.openai.requests == []


@set_up(server__body_max_bytes="100000")
async def test_a_body_that_is_too_long_is_refused(house: House):
    """413, whether it says so before or turns out to be."""
    acme = await house.business()
    body = multipart([("model", "whisper-1")], [("file", "a.mp3", bytes(100_000))])

    said = await post(acme, body)
    found = await post(acme, in_pieces(body))

    assert (said.status_code, found.status_code) == (413, 413)
    assert refusal_in(said)[2] == "body_too_large"


async def test_the_hold_comes_before_the_first_byte_is_forwarded(house: House):
    """Who has no credits sends nothing to OpenAI."""
    acme = await house.business(credits="0.0001")

    reply = await send(acme, "/audio/transcriptions", [("model", "whisper-1")], [WAV])

    assert refusal_in(reply)[:3] == (402, "insufficient_quota", "insufficient_credits")
    assert house.openai.requests == []


async def test_a_caller_that_leaves_in_the_middle_of_its_body_is_not_served(house: House):
    """No hold, no row, no call."""
    acme = await house.business()
    before = await everything(house)

    async def half() -> AsyncIterator[bytes]:
        yield multipart([("model", "whisper-1")], [WAV])[:5_000]
        raise httpx2.ReadError("the caller leaves")

    with pytest.raises(httpx2.ReadError):
        await post(acme, half())

    assert await everything(house) == before
    assert house.openai.requests == []


async def test_a_repeated_call_is_told_by_its_parts(house: House):
    """The same key and parts behind another boundary: the same answer, billed once."""
    acme = await house.business()
    fields = [("model", "whisper-1")]
    first = multipart(fields, [WAV])
    second = multipart(fields, [WAV], boundary=b"another-boundary")
    other = {"Content-Type": "multipart/form-data; boundary=another-boundary"}
    named = {"Idempotency-Key": "one"}

    made = await post(acme, first, **named)
    again = await post(acme, second, **(named | other))
    changed = await post(acme, multipart([*fields, ("prompt", "x")], [WAV]), **named)

    assert again.content == made.content
    assert again.headers["idempotency-replayed"] == "true"
    assert changed.status_code == 422
    assert len(house.openai.requests) == 1
    await charged_as_billed(acme)


async def test_openai_may_answer_before_it_has_read_all(house: House):
    """An error comes through, and the connection with the rest of the body is not used again."""
    acme = await house.business(credits="500.00")
    house.openai.fails(413, {"error": {"message": "too long", "code": "x"}}, times=1)
    files = [("file", "a.mp3", bytes(3_000_000))]

    refused = await send(acme, "/audio/transcriptions", [("model", "whisper-1")], files)
    served = await send(acme, "/audio/transcriptions", [("model", "whisper-1")], files)

    assert (refused.status_code, served.status_code) == (413, 200)
    await charged_as_billed(acme)


async def test_what_our_key_is_stays_here(house: House):
    """The headers of such a call are those of every call, but for its content-type."""
    acme = await house.business()

    await send(acme, "/audio/transcriptions", [("model", "whisper-1")], [WAV])

    (request,) = house.openai.requests
    sent = dict(request.headers)
    assert sent[b"authorization"] == b"Bearer " + houses.OUR_KEY.encode()
    assert sent[b"user-agent"] == b"credit-gateway"
    assert BOUNDARY in sent[b"content-type"]
