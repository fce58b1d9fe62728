"""The meter of `POST /v1/chat/completions`."""

from __future__ import annotations

from metering.call import Call
from metering.chat.fields import read_fields
from metering.chat.prompt import most_tokens
from metering.chat.reply import ChatReader
from metering.meters.meter import FRAMING_TOKENS, Ceiling, OutputLimits, PlainMeter
from metering.prices import ModelRow
from metering.usage import Unit, Usage


class ChatCompletions(PlainMeter):
    """Bounds a chat completion by its bytes and its output limit, and reads its reply."""

    family = "chat"
    fits = True

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than its bytes tell, or is unknown.
        """
        read_fields(call.fields)

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The limit in the body, else the default; never more than the model can give."""
        limit: int | None = call.fields.get("max_completion_tokens")
        if limit is None:
            limit = call.fields.get("max_tokens")
        return min(limits.default if limit is None else limit, limits.most)

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """
        Write the output limit, the default tier and, for a stream, `include_usage`.

        `metadata` is for us (its `feature`): OpenAI takes it only with `store`, which is
        refused, so it is not forwarded. The limit goes where the caller's own one is:
        some servers know only the old name.
        """
        fields = call.fields
        fields.pop("metadata", None)
        fields["service_tier"] = "default"
        old = fields.get("max_tokens") is not None
        if old:
            fields["max_tokens"] = output_limit
        if not old or fields.get("max_completion_tokens") is not None:
            fields["max_completion_tokens"] = output_limit
        if call.streams:
            fields["stream_options"] = {
                **(fields.get("stream_options") or {}),
                "include_usage": True,
            }

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use.

        A token covers at least one byte, so the body's bytes bound the prompt; the reply
        is taken at its limit, once for each choice.
        """
        n: int | None = call.fields.get("n")
        return Ceiling(
            input_tokens=call.body_bytes + FRAMING_TOKENS,
            output_limit=output_limit,
            choices=n or 1,
            extra_output=_predicted(call),
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the input tokens, tighter than by bytes; blocks."""
        return min(most_tokens(call.fields, row.encoding), call.body_bytes) + FRAMING_TOKENS

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The prompt; blocks."""
        return Usage({Unit.INPUT: self.count_input(call, row)})

    def asks_for_usage(self, call: Call) -> bool:
        """Whether the caller set `stream_options.include_usage`; ask before `prepare`."""
        options = call.fields.get("stream_options") or {}
        return options.get("include_usage") is True

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ChatReader:
        """A reader for the reply of this call."""
        return ChatReader(call, encoding=row.encoding, asked_for_usage=asked_for_usage)


def _predicted(call: Call) -> int:
    """The bytes of a prediction: what of it is rejected is billed as output."""
    prediction = call.fields.get("prediction")
    content = prediction.get("content") if prediction else None
    if isinstance(content, str):
        return len(content.encode())
    texts = [part.get("text") for part in content or ()]
    return sum(len(text.encode()) for text in texts if isinstance(text, str))
