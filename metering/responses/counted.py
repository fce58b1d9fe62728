"""Watches the reply to a count of input tokens, which costs nothing."""

from __future__ import annotations

from typing import Literal

from metering.reply_seen import ReplyNamed
from metering.usage import Usage


class CountReader(ReplyNamed):
    """A `UsageReader` that finds no usage, whatever comes."""

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Never anything: no feature's fixed price is charged for a count either."""
        return "none"

    def feed(self, chunk: bytes) -> bytes:
        """Pass it on."""
        return chunk

    def feed_json(self, body: bytes) -> None:
        """It holds the count, which is the caller's."""

    def finish(self) -> bytes:
        """Nothing is held back."""
        return b""

    def usage(self) -> Usage:
        """Nothing."""
        return Usage()

    def so_far(self) -> int:
        """Nothing."""
        return 0
