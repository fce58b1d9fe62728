"""
The fields of an embeddings call.

The list is that of the official SDK (openai 3.54, `embedding_create_params`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metering.chat.checks import Check, read_known, string, whole, wrong
from metering.errors import BodyNotUnderstood
from metering.text_or_ids import text_or_ids

# OpenAI's own limits; it refuses what is above them.
MOST_INPUTS = 2048
MOST_TOKENS = 300_000

MOST_DIMENSIONS = 2**20


def read_fields(fields: Mapping[str, Any]) -> None:
    """
    Check every field of an embeddings call.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A field is not known to us.
    """
    read_known(fields, _FIELDS, "an embeddings call")
    if fields.get("input") is None:
        raise BodyNotUnderstood("input is missing; it must be a text or a list", "input")


def _encoding_format(name: str, value: Any) -> None:
    if value not in ("float", "base64"):
        raise wrong(name, value, '"float" or "base64"')


_FIELDS: dict[str, Check] = {
    "dimensions": whole(1, MOST_DIMENSIONS),
    "encoding_format": _encoding_format,
    "input": text_or_ids(most_items=MOST_INPUTS, most_ids=MOST_TOKENS),
    "model": string,
    "user": string,
}
