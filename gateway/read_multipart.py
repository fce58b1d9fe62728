"""
A multipart/form-data body: read as it streams in, kept as it is, forwarded byte for byte.

Nothing can be written into such a body, so it must mean to OpenAI what it means to us. Its
delimiter may stand nowhere but between parts, its first byte begins the first part and its
last one ends it, and every field is there once, unless its name ends with `[]`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from gateway.delimiters import Delimiters, refused
from gateway.errors import BodyTooLarge, EncodingNotAccepted, RequestRefused
from gateway.part_headers import Part, read_part
from gateway.read_call import ClientLeft, Headers
from gateway.spool import Spool
from metering.call import Call, UploadedFile

Receive = Callable[[], Awaitable[dict[str, Any]]]

# It logs what it cannot read, bytes included; what a caller may see of that is said below.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

MODEL_MOST_BYTES = 128
PARTS_MOST = 64  # 16 images, a mask, and every field there is, are some 40.
HEADERS_MOST = 4  # Disposition, type, length, encoding.
HEADER_MOST_BYTES = 2048
TEXT_MOST_BYTES = 4 * 2**20  # Four voices to be recognised, as data URLs, have some 2 MiB.
HEAD_BYTES = 4096

# As RFC 2046 says, without the blank and what would need quoting in a header.
_BOUNDARY = re.compile(
    rb"multipart/form-data[ \t]*;[ \t]*boundary="
    rb"(?P<quote>\"?)(?P<boundary>[0-9A-Za-z'()+_,./:=?-]{1,70})(?P=quote)",
    re.IGNORECASE,
)


def boundary_of(headers: Headers) -> tuple[bytes, bytes]:
    """
    The content-type of a multipart body and its boundary.

    Raises:
        RequestRefused: It is another content-type, or one with more in it.
    """
    given = [value for name, value in headers if name == b"content-type"]
    found = _BOUNDARY.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise RequestRefused(
            "this endpoint takes multipart/form-data with a boundary of 1 to 70 letters and "
            "digits, as the SDKs send it; set the content-type to that, once"
        )
    return given[0], found["boundary"]


async def read_multipart(
    endpoint: str, headers: Headers, receive: Receive, *, most_bytes: int, hashes: bool = True
) -> tuple[Call, bytes]:
    """
    The call in a multipart body, which is kept in `call.as_sent`, and the body's digest.

    The digest (with `hashes`) is of what the parts are, not of the boundary between them:
    an SDK takes another one for each attempt.

    Raises:
        RequestRefused: It cannot be read in one way only, or names no model.
        BodyTooLarge, EncodingNotAccepted: Said before more of it is read.
        ClientLeft: It will never be complete.
    """
    content_type, boundary = boundary_of(headers)
    _check_headers(headers, most_bytes)
    spool = Spool(content_type)
    try:
        form = _Form(boundary, hashes=hashes)
        async for piece in _pieces(receive, most_bytes):
            await spool.add(piece)
            form.feed(piece)
        form.end()
        await spool.end()
        return form.call(endpoint, spool), form.digest
    except BaseException:
        spool.close()
        raise


async def _pieces(receive: Receive, most_bytes: int) -> Any:
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        length += len(piece)
        if length > most_bytes:
            raise _too_large(most_bytes)
        if piece:
            yield piece
        if not message.get("more_body", False):
            return


class _Form:
    """The parts of one body, as they come in."""

    def __init__(self, boundary: bytes, *, hashes: bool) -> None:
        self._delimiters = Delimiters(boundary, most=PARTS_MOST + 1)
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_header_field": self._take_header_field,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_end": self._end,
            },
            max_header_count=HEADERS_MOST,
            max_header_size=HEADER_MOST_BYTES,
        )
        self._parts: list[tuple[Part, int, bytes]] = []
        self._texts: list[tuple[str, bytes]] = []
        self._text_bytes = 0
        self._ended = False
        self._hash = sha256() if hashes else None
        self._begin_part(counts=False)

    def feed(self, piece: bytes) -> None:
        self._delimiters.feed(piece)
        try:
            self._parser.write(piece)
        except FormParserError:
            # Its text has bytes of the body in it.
            raise refused("its parts are not where its boundary says") from None

    def end(self) -> None:
        """
        Look at the whole.

        Raises:
            RequestRefused: It is not complete, or something stands before or behind it.
        """
        self._delimiters.end()
        if not self._ended or len(self._delimiters.places) != len(self._parts) + 1:
            raise refused("it does not end with its boundary")

    @property
    def digest(self) -> bytes:
        return self._hash.digest() if self._hash else b""

    def call(self, endpoint: str, spool: Spool) -> Call:
        """The call that the parts are."""
        fields = _fields(self._texts)
        models = sum(part.name == "model" for part, _, _ in self._parts)
        model = fields.get("model")
        if models != 1 or not isinstance(model, str) or not model:
            raise RequestRefused(
                "the body names no model, or more than one; send one part `model`", param="model"
            )
        return Call(
            endpoint=endpoint,
            model=model,
            fields=fields,
            streams=fields.get("stream") == "true",
            body_bytes=spool.length,
            files=tuple(self._files(spool)),
            as_sent=spool,
        )

    def _files(self, spool: Spool) -> Any:
        for number, (part, size, head) in enumerate(self._parts):
            if part.filename is None:
                continue
            start = self._delimiters.places[number + 1] - len(b"\r\n") - size
            yield UploadedFile(
                name=part.name,
                filename=part.filename,
                content_type=part.content_type,
                size=size,
                head=head,
                read_at=_Section(spool, start, size),
            )

    # What the parser calls

    def _begin_part(self, counts: bool = True) -> None:
        if counts and len(self._parts) >= PARTS_MOST:
            raise refused(f"it has more than {PARTS_MOST} parts")
        self._headers: list[tuple[bytes, bytes]] = []
        self._field, self._value = bytearray(), bytearray()
        self._part: Part | None = None
        self._size = 0
        self._data = bytearray()

    def _take_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers.append((bytes(self._field), bytes(self._value)))
        self._field, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        self._part = read_part(self._headers)
        if self._hash is not None:
            part = self._part
            self._hash.update(repr((part.name, part.filename, part.content_type)).encode())

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        assert part is not None, "data comes after the headers"
        self._size += end - start
        if self._hash is not None:
            self._hash.update(memoryview(data)[start:end])
        if part.filename is not None:
            self._data += data[start : min(end, start + HEAD_BYTES - len(self._data))]
            return
        if part.name == "model" and self._size > MODEL_MOST_BYTES:
            raise RequestRefused(f"`model` is longer than {MODEL_MOST_BYTES} bytes", param="model")
        self._text_bytes += end - start
        if self._text_bytes > TEXT_MOST_BYTES:
            raise refused(f"its text fields have more than {TEXT_MOST_BYTES} bytes")
        self._data += data[start:end]

    def _end_part(self) -> None:
        part = self._part
        assert part is not None, "a part has headers"
        if part.said_length is not None and part.said_length != self._size:
            raise refused("a part is not as long as it says")
        if self._hash is not None:
            self._hash.update(b"%d;" % self._size)
        if part.filename is None:
            self._parts.append((part, self._size, b""))
            self._texts.append((part.name, bytes(self._data)))
        else:
            self._parts.append((part, self._size, bytes(self._data)))

    def _end(self) -> None:
        self._ended = True


class _Section:
    """Reads one file of a body at a place; blocks."""

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool, self._start, self._size = spool, start, size

    def __call__(self, offset: int, most: int) -> bytes:
        most = min(most, self._size - offset)
        return self._spool.read_at(self._start + offset, most) if most > 0 else b""


def _fields(texts: list[tuple[str, bytes]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in texts:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise RequestRefused(f"{name} is not UTF-8", param=name) from None
        if name.endswith("[]"):
            fields.setdefault(name, []).append(text)
        elif name in fields:
            raise RequestRefused(f"{name} is there twice; send it once", param=name)
        else:
            fields[name] = text
    return fields


def _check_headers(headers: Headers, most_bytes: int) -> None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > most_bytes:
            raise _too_large(most_bytes)
        if name == b"content-encoding" and value.lower() != b"identity":
            raise EncodingNotAccepted("the body has a content-encoding; send it as it is")


def _too_large(most_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is longer than the {most_bytes} bytes that are accepted here")
