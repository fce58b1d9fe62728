"""The meter of `POST /v1/completions`, the older kind."""

from __future__ import annotations

from metering.call import Call
from metering.chat.reply import ChatReader
from metering.completions.fields import read_fields
from metering.meters.meter import FRAMING_TOKENS, Ceiling, OutputLimits, PlainMeter
from metering.prices import DEFAULT_TIER, ModelRow
from metering.text_or_ids import counted_tokens, items_of, most_tokens
from metering.tokens import count
from metering.usage import Unit, Usage

# What OpenAI takes for an absent prompt, and for an absent limit.
NO_PROMPT = "<|endoftext|>"
DEFAULT_LIMIT = 16


class Completions(PlainMeter):
    """Bounds a completion by its prompts and its output limit, and reads its reply."""

    family = "completions"
    fits = True

    def read(self, call: Call) -> None:
        """Check every field (see `read_fields`)."""
        read_fields(call.fields)

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The limit in the body, else OpenAI's 16; never more than the model can give."""
        limit: int | None = call.fields.get("max_tokens")
        return min(DEFAULT_LIMIT if limit is None else limit, limits.most)

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """Write the limit, unless it is what OpenAI takes by itself, and `include_usage`."""
        fields = call.fields
        if fields.get("max_tokens") is not None or output_limit < DEFAULT_LIMIT:
            fields["max_tokens"] = output_limit
        if call.streams:
            fields["stream_options"] = {
                **(fields.get("stream_options") or {}),
                "include_usage": True,
            }

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use.

        Each prompt is answered `n` times, or `best_of` times where that is more: what is
        not returned is billed too. A prompt is read once, however often it is answered.
        """
        prompts = _prompts(call)
        suffix = call.fields.get("suffix") or ""
        answers = max(call.fields.get("n") or 1, call.fields.get("best_of") or 1)
        return Ceiling(
            input_tokens=most_tokens(_prompt(call))
            + len(suffix.encode())
            + prompts
            + FRAMING_TOKENS,
            output_limit=output_limit,
            choices=prompts * answers,
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the input tokens, tighter than by bytes; blocks."""
        return _counted(call, row) + _prompts(call) + FRAMING_TOKENS

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The prompts; blocks."""
        return Usage({Unit.INPUT: _counted(call, row)})

    def asks_for_usage(self, call: Call) -> bool:
        """Whether the caller set `stream_options.include_usage`; ask before `prepare`."""
        options = call.fields.get("stream_options") or {}
        return options.get("include_usage") is True

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ChatReader:
        """A reader for the reply, which is like that of a chat but for the place of its text."""
        echoes = (call.fields.get("n") or 1) if call.fields.get("echo") else 0
        return ChatReader(
            call,
            encoding=row.encoding,
            asked_for_usage=asked_for_usage,
            prices=row.tiers[DEFAULT_TIER],
            counted=lambda: self.unseen(call, row),
            echoed=lambda: echoes * _counted(call, row),
        )


def _prompt(call: Call) -> object:
    prompt = call.fields.get("prompt")
    return NO_PROMPT if prompt is None else prompt


def _prompts(call: Call) -> int:
    return len(items_of(_prompt(call)))


def _counted(call: Call, row: ModelRow) -> int:
    suffix = call.fields.get("suffix") or ""
    return counted_tokens(_prompt(call), row.encoding) + count(suffix, row.encoding)
