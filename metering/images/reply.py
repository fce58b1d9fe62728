"""Watches the reply of a call that makes pictures, JSON or a stream, and knows what it used."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from metering.base64_runs import WithoutBase64
from metering.errors import CostNotBounded
from metering.images.fields import Wanted
from metering.images.sizes import PARTIAL_TOKENS, output_tokens
from metering.images.usage import read_usage
from metering.prices import DEFAULT_TIER, ModelRow
from metering.reply_seen import ReplyNamed
from metering.sse import Events, data_of
from metering.tokens import count
from metering.usage import Unit, Usage


class _Nothing(msgspec.Struct, gc=False):
    """A picture in a reply: nothing of it is read."""


class _Reply(msgspec.Struct, gc=False):
    """What is picked out of a reply; the pictures are skipped."""

    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    svg_usage: msgspec.Raw = msgspec.Raw(b"null")
    data: list[_Nothing] | None = None
    size: Any = None
    quality: Any = None


class _Event(msgspec.Struct, gc=False):
    """The same of an event."""

    type: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    size: Any = None
    quality: Any = None


_reply = msgspec.json.Decoder(_Reply)
_event = msgspec.json.Decoder(_Event)
_NULL = b"null"


class ImagesReader(ReplyNamed):
    """The `UsageReader` of one call that makes pictures."""

    def __init__(self, wanted: Wanted, row: ModelRow) -> None:
        super().__init__()
        self._wanted = wanted
        self._row = row
        self._short = WithoutBase64()
        self._events = Events()
        self._reported: Usage | None = None
        self._images = 0
        self._partials = 0
        self._size, self._quality = wanted.size, wanted.quality

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from; a reply without a picture and without usage used nothing."""
        if self._reported is not None:
            return "reported"
        return "counted" if self._images or self._partials else "none"

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of a stream, which is passed on as it is."""
        for event in self._events.feed(self._short.feed(chunk)):
            self._look(event)
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take a whole JSON reply."""
        try:
            reply = _reply.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("reply_not_understood")
            self._images = self._wanted.n  # It was answered, so it was billed.
            return
        self._take_error(reply.error)
        self._images = len(reply.data or ())
        self._take_kind(reply.size, reply.quality)
        if bytes(reply.svg_usage) != _NULL:
            self.flagged.append("svg_usage_not_priced")
        self._take_usage(reply.usage)

    def finish(self) -> bytes:
        """Nothing was held back."""
        for event in self._events.feed(self._short.finish()):
            self._look(event)
        if self._events.overflowed:
            self.flagged.append("event_too_long")
        rest, self._events = self._events.rest, Events()
        if rest:
            self._look(rest)
        return b""

    def usage(self) -> Usage:
        """As OpenAI reported it, else by the pictures that were seen; counting blocks."""
        if self._reported is not None:
            return self._reported
        if self.source == "none":
            return Usage()
        wanted = self._wanted
        # A stream that broke off before its picture came had it made all the same.
        images = self._images or wanted.n
        text = count(wanted.prompt, self._row.encoding) * images
        return Usage({Unit.INPUT: text, Unit.IMAGE_OUTPUT: self._tokens(images)})

    def so_far(self) -> int:
        """The image tokens of what was seen."""
        return self._tokens(self._images)

    def _tokens(self, images: int) -> int:
        try:
            each = output_tokens(self._row.id, self._size, self._quality)
        except CostNotBounded:
            each = output_tokens(self._row.id, self._wanted.size, self._wanted.quality)
        return images * each + self._partials * PARTIAL_TOKENS

    def _look(self, event: bytes) -> None:
        data = data_of(event)
        if not data.strip():
            return
        if data.strip() == b"[DONE]":
            self.saw_done = True
            return
        try:
            found = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("event_not_understood")
            return
        self._take_error(found.error)
        kind = found.type if isinstance(found.type, str) else ""
        if kind.endswith(".partial_image"):
            self._partials += 1
        elif kind.endswith(".completed"):
            self._images += 1
            self.saw_done = True
            self._take_kind(found.size, found.quality)
            self._take_usage(found.usage)

    def _take_kind(self, size: Any, quality: Any) -> None:
        if isinstance(size, str) and size != "auto":
            self._size = size
        if isinstance(quality, str) and quality != "auto":
            self._quality = quality

    def _take_usage(self, raw: msgspec.Raw) -> None:
        if bytes(raw) == _NULL:
            return
        priced = self._row.tiers[DEFAULT_TIER]
        usage = read_usage(
            raw, self.flagged, priced=priced, reads_images=self._wanted.input_images > 0
        )
        if usage is not None:
            self._reported = usage
