"""The meter of `POST /v1/moderations`, for which OpenAI bills nothing."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from metering.call import Call
from metering.meters.meter import Ceiling, PlainMeter
from metering.moderations.fields import read_fields
from metering.prices import ModelRow
from metering.reply_seen import ReplyNamed
from metering.usage import Usage


class Moderations(PlainMeter):
    """Holds nothing and charges nothing; the call is limited and recorded like any other."""

    family = "moderations"

    def read(self, call: Call) -> None:
        """Check every field (see `read_fields`)."""
        read_fields(call.fields)

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """Nothing."""
        return Ceiling()

    def count_input(self, call: Call, row: ModelRow) -> int:
        """Nothing."""
        return 0

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """Nothing."""
        return Usage()

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ModerationsReader:
        """A reader for the reply of this call."""
        return ModerationsReader()


class _Head(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    error: Any = None


_head = msgspec.json.Decoder(_Head)


class ModerationsReader(ReplyNamed):
    """The `UsageReader` of one moderation: whatever it says, nothing was used."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = False

    @property
    def source(self) -> Literal["reported", "none"]:
        """That it is free is known; nothing has to be counted."""
        return "reported" if self._seen else "none"

    def feed(self, chunk: bytes) -> bytes:
        """Moderations are never streamed; what comes all the same is passed on."""
        self._seen = True
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take a whole JSON reply."""
        self._seen = True
        try:
            head = _head.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("reply_not_understood")
            return
        self.upstream_id = head.id if isinstance(head.id, str) else None
        self.model = head.model if isinstance(head.model, str) else None
        if head.error is not None:
            self.error = "upstream_error"

    def finish(self) -> bytes:
        """Nothing is held back."""
        return b""

    def usage(self) -> Usage:
        """Nothing."""
        return Usage()

    def so_far(self) -> int:
        """Nothing."""
        return 0
