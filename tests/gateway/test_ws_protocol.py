"""The wire: what a caller may send is bounded, and who does not answer is cut."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.ws_protocol import FRAGMENTS_MOST, FRAME_MOST_BYTES
from metering.money import Credits
from tests.gateway.raw_caller import request
from tests.gateway.ws_caller import REALTIME, SECOND, line, switch_on
from tests.house import House, open_house

pytestmark = pytest.mark.anyio

PATH = "/v1/responses"


async def test_a_message_is_no_longer_than_16_mib(house: House) -> None:
    """1009, and nothing of it goes on."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        with suppress(ConnectionClosed):
            await caller.socket.send("x" * (FRAME_MOST_BYTES + 1))
        assert await caller.ended() == 1009

    assert (await house.openai.socket()).frames == []


async def test_a_message_is_not_cut_into_pieces_without_end(house: House) -> None:
    """Empty fragments have no bytes that could be counted, so they are counted themselves."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.socket.send([""] * (FRAGMENTS_MOST + 2))
        assert await caller.ended() == 1009


async def test_what_is_no_text_ends_the_websocket(house: House) -> None:
    """1007, as the standard says."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.socket.send(b"\xff\xfe", text=True)
        assert await caller.ended() == 1007


async def test_nothing_is_compressed(house: House) -> None:
    """A few bytes cannot become many."""
    acme = await house.business()

    async with line(house, PATH, acme.key, compression="deflate") as caller:
        assert caller.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in caller.socket.response.headers


async def test_who_answers_no_ping_is_cut(
    valkey_url: str, sqlite_records_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holds return, though it never said goodbye."""
    monkeypatch.setattr("gateway.server.PING_S", 0.2)
    async with open_house(redis_url=valkey_url, records_url=sqlite_records_url) as house:
        switch_on(house, "realtime")
        acme = await house.business()
        url = house.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(url[0], int(url[1]))
        writer.write(_handshake(f"/v1/realtime?model={REALTIME}", acme.key))
        await reader.readuntil(b"\r\n\r\n")
        text = b'{"type":"input_audio_buffer.append","audio":"' + SECOND[:100].encode() + b'"}'
        writer.write(b"\x81" + struct.pack("!BH", 0x80 | 126, len(text)) + bytes(4) + text)
        await (await house.openai.socket()).until(lambda socket: len(socket.frames) == 1)
        assert await acme.held() > Credits(0)

        while await reader.read(65536):
            pass
        await house.quiet()

        assert await acme.held() == Credits(0)
        writer.close()


def _handshake(path: str, key: str) -> bytes:
    more = (
        f"Authorization: Bearer {key}",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    raw = request("GET", path, *more).replace(b"Connection: close", b"Connection: Upgrade")
    return raw.replace(b"Content-Length: 0\r\n", b"")
