"""The meter of `POST /v1/images/generations`, `/edits` and `/variations`."""

from __future__ import annotations

from metering.call import Call
from metering.errors import CostNotBounded
from metering.images.fields import Wanted, read_fields
from metering.images.reply import ImagesReader
from metering.images.sizes import PARTIAL_TOKENS, input_tokens, output_tokens
from metering.meters.meter import FRAMING_TOKENS, Ceiling, PlainMeter
from metering.prices import DEFAULT_TIER, ModelRow
from metering.tokens import count
from metering.usage import Unit, Usage

# What a model writes to plan one picture. No limit is published; plans that were seen have
# some hundred tokens.
MOST_PLAN_TOKENS = 4096


class Images(PlainMeter):
    """
    Bounds a call that makes pictures by what it asks for.

    Args:
        kind: "generations", "edits" or "variations".
    """

    family = "images"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than is known, or is unknown.
        """
        wanted = self._wanted(call)
        if wanted.quality not in ("auto", "low", "medium", "high"):
            raise CostNotBounded("quality", "no count of tokens is published for it")

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use: n pictures, each with all that goes in.

        Each of them is billed as if it had been asked for by itself, prompt and input images
        included. A row without a price for the text of a plan is of a model that writes none.

        Raises:
            CostNotBounded: The row has no price for pictures.
        """
        wanted = self._wanted(call)
        priced = row.tiers[DEFAULT_TIER]
        each = output_tokens(row.id, wanted.size, wanted.quality)
        each += wanted.partial_images * PARTIAL_TOKENS
        others = {
            Unit.IMAGE_INPUT: wanted.n * wanted.input_images * input_tokens(row.id),
            Unit.IMAGE_OUTPUT: wanted.n * each,
        }
        if Unit.OUTPUT in priced:
            others[Unit.OUTPUT] = wanted.n * min(row.max_output, MOST_PLAN_TOKENS)
        for unit, most in others.items():
            if most and unit not in priced:
                raise CostNotBounded("model", f"{row.id} has no price for {unit.value}")
        return Ceiling(
            input_tokens=wanted.n * (len(wanted.prompt.encode()) + FRAMING_TOKENS),
            choices=wanted.n,
            others=Usage(others),
            output_unit=Unit.IMAGE_OUTPUT,
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the text tokens, tighter than by bytes; blocks."""
        wanted = self._wanted(call)
        text = min(count(wanted.prompt, row.encoding), len(wanted.prompt.encode()))
        return wanted.n * (text + FRAMING_TOKENS)

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """All that was asked for: a picture is made to its end, whoever waits for it."""
        most = self.ceiling(call, row, output_limit=0)
        pictures = {unit: most.others[unit] for unit in (Unit.IMAGE_INPUT, Unit.IMAGE_OUTPUT)}
        return Usage({Unit.INPUT: self.count_input(call, row), **pictures})

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ImagesReader:
        """A reader for the reply of this call."""
        return ImagesReader(self._wanted(call), row)

    def _wanted(self, call: Call) -> Wanted:
        return read_fields(call, self._kind)
