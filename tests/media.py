"""Rows of a rate card for pictures and sound, and the bodies that are sent to such models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2

from metering.prices import ModelRow
from metering.rates import RateCard
from metering.usage import Unit
from tests.house import Acme

BOUNDARY = b"----boundary-0123456789"
CONTENT_TYPE = b"multipart/form-data; boundary=" + BOUNDARY


def row(model: str, family: str, *, max_output: int = 2000, **prices: str) -> ModelRow:
    """A row of a card; prices are USD per million."""
    return ModelRow(
        id=model,
        aliases=(),
        serves=frozenset({family}),
        encoding="o200k_base",
        context_window=16_000,
        max_input=16_000,
        max_output=max_output,
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        source="tests",
        tiers={
            "default": {Unit(unit): int(Decimal(price) * 10**6) for unit, price in prices.items()}
        },
    )


ROWS = {
    each.id: each
    for each in (
        row(
            "gpt-image-1.5",
            "images",
            input="5",
            cached_input="1.25",
            image_input="8",
            cached_image_input="2",
            image_output="32",
            output="10",
        ),
        row("gpt-image-1-mini", "images", input="2", image_input="2.5", image_output="8"),
        row("gpt-image-2", "images", input="5", image_input="8", image_output="30"),
        row("gpt-image-2.5-flare", "images", input="5", image_input="8", image_output="30"),
        row("gpt-4o-mini-tts", "speech", input="0.6", audio_output="12"),
        row("tts-1", "speech", characters="15"),
        row("whisper-1", "transcriptions", audio_milliseconds="0.1"),
        row("gpt-4o-transcribe", "transcriptions", input="2.5", audio_input="6", output="10"),
    )
}
CARD = RateCard(ROWS.values())


def multipart(
    fields: Iterable[tuple[str, str]],
    files: Iterable[tuple[str, str, bytes]] = (),
    *,
    boundary: bytes = BOUNDARY,
    files_first: bool = False,
) -> bytes:
    """A body of several parts, as an SDK writes it."""
    texts = [
        b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), text.encode())
        for name, text in fields
    ]
    uploads = [
        b'Content-Disposition: form-data; name="%b"; filename="%b"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%b"
        % (name.encode(), filename.encode(), data)
        for name, filename, data in files
    ]
    parts = uploads + texts if files_first else texts + uploads
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + (
        b"--%b--\r\n" % boundary
    )


async def send(
    acme: Acme,
    path: str,
    fields: Iterable[tuple[str, str]],
    files: Iterable[tuple[str, str, bytes]] = (),
    **more: Any,
) -> httpx2.Response:
    """One call with such a body; its whole reply."""
    headers = {**acme.headers, "Content-Type": CONTENT_TYPE.decode(), **more.pop("headers", {})}
    body = multipart(fields, files, **more)
    return await acme.house.client.post(f"/v1{path}", content=body, headers=headers)


async def in_pieces(body: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    """A body as it is streamed."""
    for at in range(0, len(body), size):
        yield body[at : at + size]
