"""
Files in a message: what such a part may be, and whether its bytes bound it.

Only plain text does. A page of a PDF is read as text and as an image, a document of an
office program is packed, and of an uploaded file the body has the id alone: these cost at
most what the model can read at all.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any

from metering.chat.checks import string, table
from metering.errors import BodyNotUnderstood, CostNotBounded

_KEYS = ("file_data", "file_id", "filename")
_TEXT = re.compile(r"data:(text/[\w.+-]+|application/json)(;charset=[\w-]+)?;base64,", re.I)
_PDF_WITHIN = 1024  # A reader of PDF looks for its mark in so many bytes.


def read_file(where: str, value: Any) -> None:
    """
    Check the `file` of a part.

    Raises:
        BodyNotUnderstood: It has neither data nor an id.
        CostNotBounded: A field is not known to us.
    """
    file = table(where, value)
    for key, text in file.items():
        if key not in _KEYS:
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
        if text is not None:
            string(f"{where}.{key}", text)
    if file.get("file_data") is None and file.get("file_id") is None:
        raise BodyNotUnderstood(f"{where} must have file_data or file_id", where)


def text_of(file: dict[str, Any]) -> str | None:
    """The text of a file that was sent and is plain text; None for any other."""
    data = file.get("file_data")
    if file.get("file_id") is not None or data is None:
        return None
    found = _TEXT.match(data)
    if found is None:
        return None
    try:
        content = b64decode(data[found.end() :], validate=True)
        text = content.decode()
    except (binascii.Error, ValueError):
        return None
    return None if "\0" in text or b"%PDF" in content[:_PDF_WITHIN] else text
