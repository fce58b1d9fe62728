"""Only a file of plain text is bounded by its bytes."""

from __future__ import annotations

import pytest

from metering.chat.files import text_of
from tests.metering.chat.parts import file


@pytest.mark.parametrize("mime", ["text/plain", "text/csv", "application/json", "TEXT/PLAIN"])
def test_text_is_read(mime: str) -> None:
    """Whatever it is written in."""
    assert text_of(file("Akwaaba é".encode(), mime)["file"]) == "Akwaaba é"
    assert text_of(file(b"x", f"{mime};charset=utf-8")["file"]) == "x"


@pytest.mark.parametrize(
    "part",
    [
        file(b"%PDF-1.7 ...", "application/pdf"),
        file(b"%PDF-1.7 ..."),
        file(b"\n" * 1000 + b"%PDF-1.7"),
        file(b"PK\x03\x04\0\0"),
        file(b"\xff\xfe"),
        file(b"x", "image/png"),
        file(b"x", file_id="file-1"),
        {"file": {"file_data": "eA=="}},
        {"file": {"file_data": "data:text/plain;base64,*"}},
        {"file": {"file_data": "data:text/plain,hello"}},
        {"file": {"file_id": "file-1"}},
    ],
)
def test_anything_else_is_not(part: dict[str, dict[str, str]]) -> None:
    """Also what only says that it is text."""
    assert text_of(part["file"]) is None
