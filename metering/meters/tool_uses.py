"""
The meters of what OpenAI bills by the use, without a model: a container, a search.

Their price stands in the rows of chat models, because that is where such uses usually are.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.meter import Ceiling, PlainMeter
from metering.prices import ModelRow
from metering.reply_seen import ReplyNamed
from metering.usage import Unit, Usage

SMALLEST_CONTAINER = "1g"
"""The card prices this one; larger ones cost more."""


class _Head(msgspec.Struct, gc=False):
    id: str | None = None


_head = msgspec.json.Decoder(_Head)


class ToolUses(PlainMeter):
    """
    One use of a unit for each call.

    Args:
        unit: What is billed.
        stores: Whether the reply names an object that OpenAI keeps.
    """

    family = "chat"

    def __init__(self, unit: Unit, *, stores: bool = False) -> None:
        self.unit = unit
        self._stores = stores

    def read(self, call: Call) -> None:
        """
        See that it is the use that the card prices.

        Raises:
            CostNotBounded: A larger container.
        """
        if call.fields.get("memory_limit") not in (None, SMALLEST_CONTAINER):
            raise CostNotBounded("memory_limit", f"only {SMALLEST_CONTAINER} has a price here")

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """Say whether OpenAI keeps what the reply names."""
        call.stores = self._stores

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        One use.

        Raises:
            CostNotBounded: The row has no price for it.
        """
        rate = row.tier(self.tier(call))
        if rate is None or not rate.prices(self.unit):
            raise CostNotBounded(self.unit.value, f"{row.id} has no price for it")
        return Ceiling(others=Usage({self.unit: 1}))

    def count_input(self, call: Call, row: ModelRow) -> int:
        """No tokens go in."""
        return 0

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The use: OpenAI was asked for it."""
        return Usage({self.unit: 1})

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ToolUseReader:
        """A reader for the reply of this call."""
        return ToolUseReader(self.unit)


class ToolUseReader(ReplyNamed):
    """A reply that is no error has used its unit once; OpenAI reports it nowhere else."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self._unit = unit
        self._answered = False

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """The reply itself is the report."""
        return "reported" if self._answered else "none"

    def feed(self, chunk: bytes) -> bytes:
        """None of these replies is a stream; one that is all the same was a use."""
        self._answered = True
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take the whole reply."""
        self._answered = True
        try:
            self.upstream_id = _head.decode(body).id
        except (msgspec.DecodeError, RecursionError):
            self.flagged.append("reply_not_understood")

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""

    def usage(self) -> Usage:
        """One use."""
        return Usage({self._unit: 1})

    def so_far(self) -> int:
        """No tokens come out."""
        return 0
