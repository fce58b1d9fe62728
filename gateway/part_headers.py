"""
The headers of one part of a multipart body, read so that no other reader can see another part.

What two parsers could read differently is refused: a name said twice, a quote within a file's
name, an encoding of the content, a header nobody needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import RequestRefused

NAME_MOST = 128
FILENAME_MOST = 1024

_TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
# A name in quotes, or bare as .NET writes it. A backslash before the closing quote would be an
# escape to one reader and a character to another.
_VALUE = rb'(?:"(?P<quoted>[^"\x00-\x1f\x7f]*)"|(?P<bare>' + _TOKEN + rb"))"
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(?P<key>" + _TOKEN + rb")=" + _VALUE)
_NAME = re.compile(rb"[A-Za-z0-9_.-]{1,128}(\[[A-Za-z0-9_]{0,64}\])*")
_CONTENT_TYPE = re.compile(rb"[\x20-\x7e]{1,256}")
_PLAIN_ENCODINGS = (b"binary", b"8bit", b"7bit")


@dataclass(frozen=True, slots=True)
class Part:
    """What the headers of a part say: a text field has no filename."""

    name: str
    filename: str | None
    content_type: str
    said_length: int | None = None


def read_part(headers: list[tuple[bytes, bytes]]) -> Part:
    """
    The part that these headers begin.

    Raises:
        RequestRefused: They are not what every reader reads alike.
    """
    given: dict[bytes, bytes] = {}
    for key, value in headers:
        if key.lower() in given:
            raise _refused(f"has the header {_shown(key)} twice")
        given[key.lower()] = value.strip(b" \t")
    for key in given:
        if key not in _CHECKS:
            raise _refused(f"has the header {_shown(key)}, which is not read here")
        _CHECKS[key](given[key])
    name, filename = _disposition(given.get(b"content-disposition", b""))
    said = given.get(b"content-length")
    content_type = given.get(b"content-type", b"").decode("ascii")
    return Part(name, filename, content_type, None if said is None else int(said))


def _disposition(value: bytes) -> tuple[str, str | None]:
    kind, parameters = value[:9], value[9:]
    if kind.lower() != b"form-data":
        raise _refused("is not form-data")
    found = _parameters(parameters)
    unknown = found.keys() - {b"name", b"filename", b"filename*"}
    name = found.get(b"name", b"")
    if unknown or not _NAME.fullmatch(name) or len(name) > NAME_MOST:
        raise _refused("has no name of letters, digits and brackets")
    if b"filename" not in found and b"filename*" not in found:
        return name.decode("ascii"), None
    filename = found.get(b"filename", found.get(b"filename*", b""))
    if len(filename) > FILENAME_MOST:
        raise _refused("has a filename that is too long")
    return name.decode("ascii"), filename.decode("utf-8", "replace")


def _parameters(text: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise _refused("has a content-disposition that is not understood")
        key, quoted = match["key"].lower(), match["quoted"]
        if key in found or (quoted or b"").endswith(b"\\"):
            raise _refused("has a content-disposition that can be read in two ways")
        found[key] = match["bare"] if quoted is None else quoted
        at = match.end()
    return found


def _content_type(value: bytes) -> None:
    if not _CONTENT_TYPE.fullmatch(value):
        raise _refused("has a content-type that is not one line of ASCII")


def _encoding(value: bytes) -> None:
    if value.lower() not in _PLAIN_ENCODINGS:
        raise _refused("is encoded; send it as it is")


def _length(value: bytes) -> None:
    if not value.isdigit() or len(value) > 12:
        raise _refused("has a content-length that is no number")


def _anything(value: bytes) -> None:
    """Checked elsewhere."""


_CHECKS = {
    b"content-disposition": _anything,
    b"content-type": _content_type,
    b"content-transfer-encoding": _encoding,
    b"content-length": _length,
}


def _refused(why: str) -> RequestRefused:
    return RequestRefused(f"the multipart body cannot be read: a part of it {why}")


def _shown(key: bytes) -> str:
    return ascii(key[:40].decode("latin-1"))
