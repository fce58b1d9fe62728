"""The meter of `POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Any

from metering.call import Call
from metering.chat.fields import read_fields
from metering.chat.prompt import most_tokens
from metering.chat.reply import ChatReader
from metering.meters.meter import FRAMING_TOKENS, OutputLimits
from metering.usage import Unit, Usage


class ChatCompletions:
    """Bounds a chat completion by its bytes and its output limit, and reads its reply."""

    family = "chat"

    def read(self, fields: dict[str, Any]) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than its bytes tell, or is unknown.
        """
        read_fields(fields)

    def choices(self, call: Call) -> int:
        """The call's `n`."""
        n: int | None = call.fields.get("n")
        return n or 1

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The limit in the body, else the default; never more than the model can give."""
        limit: int | None = call.fields.get("max_completion_tokens")
        if limit is None:
            limit = call.fields.get("max_tokens")
        return min(limits.default if limit is None else limit, limits.most)

    def extra_output(self, call: Call) -> int:
        """The bytes of a prediction: what of it is rejected is billed as output."""
        prediction = call.fields.get("prediction")
        content = prediction.get("content") if prediction else None
        if isinstance(content, str):
            return len(content.encode())
        texts = [part.get("text") for part in content or ()]
        return sum(len(text.encode()) for text in texts if isinstance(text, str))

    def ceiling(self, call: Call, limits: OutputLimits) -> Usage:
        """
        The most this call can use.

        A token covers at least one byte, so the body's bytes bound the prompt; the reply
        is taken at its limit, once for each choice.
        """
        output = self.output_limit(call, limits) + self.extra_output(call)
        return Usage(
            {
                Unit.INPUT: call.body_bytes + FRAMING_TOKENS,
                Unit.OUTPUT: output * self.choices(call),
            }
        )

    def prepare(self, call: Call, *, output_limit: int | None) -> None:
        """
        Write the output limit, the default tier and, for a stream, `include_usage`.

        `metadata` is for us (its `feature`): OpenAI takes it only with `store`, which is
        refused, so it is not forwarded. The limit goes where the caller's own one is:
        some servers know only the old name.
        """
        fields = call.fields
        fields.pop("metadata", None)
        fields["service_tier"] = "default"
        if output_limit is not None:
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

    def count_input(self, call: Call, encoding: str) -> int:
        """An upper bound of the input tokens, tighter than by bytes; blocks."""
        return min(most_tokens(call.fields, encoding), call.body_bytes) + FRAMING_TOKENS

    def asks_for_usage(self, call: Call) -> bool:
        """Whether the caller set `stream_options.include_usage`; ask before `prepare`."""
        options = call.fields.get("stream_options") or {}
        return options.get("include_usage") is True

    def reader(self, call: Call, *, encoding: str, asked_for_usage: bool) -> ChatReader:
        """A reader for the reply of this call."""
        return ChatReader(call, encoding=encoding, asked_for_usage=asked_for_usage)
