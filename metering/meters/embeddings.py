"""The meter of `POST /v1/embeddings`."""

from __future__ import annotations

from metering.call import Call
from metering.embeddings.fields import read_fields
from metering.embeddings.reader import EmbeddingsReader
from metering.meters.meter import FRAMING_TOKENS, Ceiling, PlainMeter
from metering.prices import ModelRow
from metering.text_or_ids import counted_tokens, items_of, most_tokens
from metering.usage import Unit, Usage


class Embeddings(PlainMeter):
    """Bounds a call by the bytes of its texts, or by its token ids; nothing comes out."""

    family = "embeddings"

    def read(self, call: Call) -> None:
        """Check every field (see `read_fields`)."""
        read_fields(call.fields)

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use: a token covers at least one byte of a text.

        Each input may be as long as the model reads, so each counts as a choice.
        """
        inputs = items_of(call.fields["input"])
        return Ceiling(
            input_tokens=most_tokens(call.fields["input"]) + len(inputs) + FRAMING_TOKENS,
            choices=len(inputs),
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """The tokens of the input, and one more for each: an upper bound; blocks."""
        value = call.fields["input"]
        return counted_tokens(value, row.encoding) + len(items_of(value))

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The input; blocks."""
        return Usage({Unit.INPUT: counted_tokens(call.fields["input"], row.encoding)})

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> EmbeddingsReader:
        """A reader for the reply of this call."""
        return EmbeddingsReader(lambda: counted_tokens(call.fields["input"], row.encoding))
