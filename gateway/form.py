"""
A multipart body, read strictly and written anew.

Two parsers can read one body differently; what is forwarded is therefore written from the
parts that were checked, with a boundary of ours, and never passed on as it came.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from gateway.errors import RequestRefused

MOST_PARTS = 100
MOST_TEXT_BYTES = 1024 * 1024

_BOUNDARY = re.compile(
    rb'multipart/form-data\s*;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))\s*', re.IGNORECASE
)
# A backslash before the closing quote would be an escape to some readers.
_NAME = re.compile(
    rb'form-data\s*;\s*name="([^"\r\n]{1,200})"(?:\s*;\s*filename="((?:[^"\r\n]*[^"\r\n\\])?)")?'
)
_TYPE = re.compile(rb"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:;\s?[ -~]{1,64})?")
_HEADERS = frozenset({b"content-disposition", b"content-type", b"content-length"})


@dataclass(frozen=True, slots=True)
class Part:
    """One field; `filename` is None for a text."""

    name: str
    value: bytes
    filename: bytes | None = None
    content_type: bytes | None = None

    @property
    def text(self) -> str:
        """
        The text of a field that is no file.

        Raises:
            RequestRefused: It is not UTF-8, or too long for a text.
        """
        if len(self.value) > MOST_TEXT_BYTES:
            raise RequestRefused("a text field of the form is too long", param=self.name[:64])
        try:
            return self.value.decode()
        except UnicodeDecodeError:
            raise RequestRefused("a field of the form is not UTF-8", param=self.name[:64]) from None


def is_form(content_type: bytes) -> bool:
    """Whether a body of this content type is multipart."""
    return content_type.lower().startswith(b"multipart/")


def read_form(content_type: bytes, body: bytes) -> list[Part]:
    """
    The parts of a body.

    Raises:
        RequestRefused: It is not what every parser would read in the same way.
    """
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise RequestRefused("the content-type must be multipart/form-data with a boundary")
    delimiter = b"\r\n--" + (found[1] or found[2])
    pieces = (b"\r\n" + body).split(delimiter)
    if len(pieces) < 3 or pieces[0] or pieces[-1].strip() != b"--":
        raise RequestRefused("the form does not begin and end with its boundary")
    if len(pieces) - 2 > MOST_PARTS:
        raise RequestRefused(f"the form has more than {MOST_PARTS} fields")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, blank, value = piece.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n"):
        raise RequestRefused("a field of the form has no proper head")
    headers: dict[bytes, bytes] = {}
    for line in head[2:].split(b"\r\n"):
        name, colon, content = line.partition(b":")
        name = name.lower()
        if not colon or name not in _HEADERS or name in headers:
            raise RequestRefused("a field of the form has a header that no form has")
        headers[name] = content.strip()
    named = _NAME.fullmatch(headers.get(b"content-disposition", b""))
    if named is None:
        raise RequestRefused("a field of the form has no name")
    kind = headers.get(b"content-type")
    if kind is not None and not _TYPE.fullmatch(kind):
        raise RequestRefused("a field of the form has a content-type that is none")
    return Part(named[1].decode("utf-8", "replace"), value, named[2], kind)


def write_form(parts: list[Part]) -> tuple[bytes, bytes]:
    """The content type and the body that say the same as these parts."""
    boundary = b"gateway-" + secrets.token_hex(16).encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces.append(b'--%b\r\nContent-Disposition: form-data; name="' % boundary)
        pieces.append(part.name.encode() + b'"')
        if part.filename is not None:
            pieces.append(b'; filename="%b"' % part.filename)
        if part.content_type is not None:
            pieces.append(b"\r\nContent-Type: " + part.content_type)
        pieces += [b"\r\n\r\n", part.value, b"\r\n"]
    pieces.append(b"--%b--\r\n" % boundary)
    return b"multipart/form-data; boundary=" + boundary, b"".join(pieces)
