"""
Reads the reply of an embeddings call: `usage.prompt_tokens` in one JSON object.

A reply may have megabytes of numbers; of a long one only its two ends are looked at, where
the model and the usage stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from metering.chat.usage import Tokens
from metering.reply_seen import ReplyNamed
from metering.usage import Unit, Usage

LONG_BYTES = 65_536
_END_BYTES = 4096

# What a reply of numbers has of quotes is its keys, so a name in quotes is that key.
_USAGE = re.compile(rb'"usage"\s*:\s*(\{[^{}]*\})')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,128})"')


class _Totals(msgspec.Struct, gc=False):
    prompt_tokens: Tokens


class _Head(msgspec.Struct, gc=False):
    model: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_head = msgspec.json.Decoder(_Head)
_totals = msgspec.json.Decoder(_Totals)


class EmbeddingsReader(ReplyNamed):
    """The `UsageReader` of one embeddings call; `count` gives its tokens, and blocks."""

    def __init__(self, count: Callable[[], int]) -> None:
        super().__init__()
        self._count = count
        self._seen = False
        self._reported: Usage | None = None

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from."""
        if self._reported is not None:
            return "reported"
        return "counted" if self._seen and self.error is None else "none"

    def feed(self, chunk: bytes) -> bytes:
        """Embeddings are never streamed; what comes all the same is passed on and counted."""
        self._seen = True
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take a whole JSON reply."""
        self._seen = True
        head = _both_ends(body) if len(body) > LONG_BYTES else _decode(body)
        if head is None:
            self.flagged.append("reply_not_understood")
            return
        self._take_names(id=None, model=head.model, tier=None)
        self._take_error(head.error)
        if bytes(head.usage) != b"null":
            self._take_usage(head.usage)

    def finish(self) -> bytes:
        """Nothing is held back."""
        return b""

    def usage(self) -> Usage:
        """As reported; else the input is counted, which blocks."""
        if self._reported is not None:
            return self._reported
        return Usage({Unit.INPUT: self._count()}) if self.source == "counted" else Usage()

    def so_far(self) -> int:
        """There is no output."""
        return 0

    def _take_usage(self, raw: bytes | msgspec.Raw) -> None:
        try:
            self._reported = Usage({Unit.INPUT: _totals.decode(raw).prompt_tokens})
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("usage_not_understood")


def _decode(body: bytes) -> _Head | None:
    try:
        return _head.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _both_ends(body: bytes) -> _Head:
    ends = body[:_END_BYTES] + body[-_END_BYTES:]
    usage, model = _USAGE.search(ends), _MODEL.search(ends)
    return _Head(
        model=model[1].decode("ascii", "replace") if model else None,
        usage=msgspec.Raw(usage[1] if usage else b"null"),
    )
