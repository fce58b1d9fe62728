"""The meters of `POST /v1/responses`, of its compaction and of its count of input tokens."""

from __future__ import annotations

from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.meter import Ceiling, OutputLimits, PlainMeter
from metering.prices import TIER_NAMES, ModelRow
from metering.responses import fields, prompt, tools
from metering.responses.counted import CountReader
from metering.responses.reply import ResponsesReader
from metering.usage import Unit, Usage

# A response repeats the instructions and tools of its call, of which each byte may become
# six (`\u0000`), and its text may come with the probabilities of every token.
_EVENT_BYTES = 16 << 20
_BYTES_OF_A_BYTE = 6


class _OfResponses(PlainMeter):
    """What creating and compacting a response have in common."""

    family = "responses"

    def tier(self, call: Call) -> str:
        """The tier that was asked for; `auto`, which follows our account, is the default."""
        asked = call.fields.get("service_tier") or "auto"
        return TIER_NAMES.get(asked, asked)

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the input tokens, tighter than by bytes; blocks."""
        return min(prompt.bound_by_tokens(call, row), prompt.bound_by_bytes(call, row))

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The prompt, of which only text is taken at its bound; blocks."""
        if not prompt.is_text(call):
            return Usage({Unit.INPUT: prompt.estimated_tokens(call.fields, row.encoding)})
        return Usage({Unit.INPUT: self.count_input(call, row)})

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ResponsesReader:
        """A reader for the reply of this call."""
        return ResponsesReader(
            call,
            encoding=row.encoding,
            rate=row.rates[self.tier(call)],
            most_event_bytes=_EVENT_BYTES + _BYTES_OF_A_BYTE * call.body_bytes,
        )


class Responses(_OfResponses):
    """Bounds a response by its bytes, its output limit and its tool calls."""

    fits = True
    least_output = fields.LEAST_OUTPUT_TOKENS

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than its bytes tell, is not switched on
                for the business, or is unknown.
        """
        fields.read_created(call.fields, call.allowed)

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The limit in the body, else the default; never more than the model can give."""
        limit: int | None = call.fields.get("max_output_tokens")
        return min(max(limits.default, self.least_output) if limit is None else limit, limits.most)

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """
        Write the output limit, the tier, the limit of tool calls, and that nothing is stored.

        OpenAI stores a response unless it is told not to, and one that is stored can be read
        with our key. What runs in the background could not be fetched if it were not stored.
        """
        body = call.fields
        tier = self.tier(call)
        body["max_output_tokens"] = output_limit
        body["service_tier"] = tier
        in_background = body.get("background") is True
        body["store"] = call.stores = in_background or body.get("store") is True
        if tools.run_by_openai(body) and not body.get("max_tool_calls"):
            body["max_tool_calls"] = tools.DEFAULT_TOOL_CALLS

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use.

        A token covers at least one byte, so the body's bytes bound a prompt that is all in
        the body. What is not is bounded by the model's whole input, in each of the turns
        that its tools give it. The output limit is OpenAI's for all turns together.

        Raises:
            CostNotBounded: The row has no price for a tool of the call.
        """
        return Ceiling(
            input_tokens=prompt.bound_by_bytes(call, row),
            output_limit=output_limit,
            others=_uses_of_tools(call, row, self.tier(call)),
            turns=prompt.turns_of(call.fields),
        )


class ResponsesCompact(_OfResponses):
    """Bounds a compaction: it knows no output limit, so the model's own one is taken."""

    def read(self, call: Call) -> None:
        """Check every field, as of a response."""
        fields.read_compacted(call.fields, call.allowed)

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """All that the model can give."""
        return limits.most

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """Write the tier."""
        call.fields["service_tier"] = self.tier(call)

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """The most a compaction can use: its prompt, and all that the model can give."""
        return Ceiling(input_tokens=prompt.bound_by_bytes(call, row), output_limit=output_limit)


class ResponsesInputTokens(PlainMeter):
    """Counting is free; what is counted is checked all the same, because ids may be in it."""

    family = "responses"

    def read(self, call: Call) -> None:
        """Check every field, as of a response."""
        fields.read_counted(call.fields, call.allowed)

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """Nothing."""
        return Ceiling()

    def count_input(self, call: Call, row: ModelRow) -> int:
        """Nothing is billed."""
        return 0

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """Nothing is billed."""
        return Usage()

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> CountReader:
        """A reader that finds nothing to charge."""
        return CountReader()


def _uses_of_tools(call: Call, row: ModelRow, tier: str) -> Usage:
    """The most that OpenAI's tools can be used, in the units they are billed in."""
    rate, counts = row.rates[tier], dict[Unit, int]()
    calls = prompt.turns_of(call.fields) - 1
    for unit, tool in tools.billed_units(call.fields).items():
        if not rate.prices(unit):
            raise CostNotBounded(f"tools ({tool})", f"{row.id} has no price for {unit.value}")
        counts[unit] = calls * (tools.SEARCHES_A_CALL if unit is Unit.WEB_SEARCHES else 1)
    return Usage(counts)
