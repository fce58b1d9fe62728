"""The meters of `WS /v1/realtime`: of its responses, and of the transcripts of what it hears."""

from __future__ import annotations

from typing import Any

from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.meter import FRAMING_TOKENS, Ceiling, OutputLimits, PlainMeter
from metering.prices import ModelRow
from metering.realtime.fields import LIMITS, limit_of, read_event
from metering.realtime.items import images_in
from metering.realtime.reply import RealtimeReader, TranscriptReader
from metering.usage import Unit, Usage


class Realtime(PlainMeter):
    """
    Bounds one response by all that the conversation holds and by its output limit.

    The call's fields are the frame `response.create`; its `before_tokens` is what the
    conversation holds at the most, None for as much as the model takes.
    """

    family = "realtime"
    fits = True

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood, CostNotBounded
        """
        read_event(call.fields, call.allowed)

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The limit of the response, else the default; never more than the model can give."""
        limit = limit_of(_response(call))
        return min(limit if isinstance(limit, int) else limits.default, limits.most)

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """Write the output limit where the caller's own one is."""
        response = _response(call)
        names = [name for name in LIMITS if name in response] or LIMITS[:1]
        call.fields["response"] = {**response, **dict.fromkeys(names, output_limit)}

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most a response can use: the conversation and this frame, all of it as audio.

        Raises:
            CostNotBounded: There is an image, and the row has no price for one.
        """
        if any(images_in(call.fields)) and not row.rates["default"].prices(Unit.IMAGE_INPUT):
            raise CostNotBounded("input_image", f"{row.id} has no price for {Unit.IMAGE_INPUT}")
        modalities = _modalities(call)
        return Ceiling(
            input_tokens=self.count_input(call, row),
            output_limit=output_limit,
            input_unit=Unit.AUDIO_INPUT,
            output_unit=Unit.OUTPUT if modalities == ["text"] else Unit.AUDIO_OUTPUT,
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the input tokens."""
        if call.before_tokens is None or any(images_in(call.fields)):
            return row.max_input
        return min(row.max_input, call.before_tokens + call.body_bytes + FRAMING_TOKENS)

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """About what the frame itself says; the conversation may have been cached."""
        return Usage({Unit.INPUT: call.body_bytes // 4})

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> RealtimeReader:
        """A reader for the frames of this response."""
        return RealtimeReader(call, encoding=row.encoding, rate=row.rates["default"])


class RealtimeTranscripts(PlainMeter):
    """
    Bounds the transcript of one item of audio by how long it may be.

    The call's fields are `milliseconds` and `prompt_bytes`; it is made by the gateway.
    """

    family = "transcriptions"

    def read(self, call: Call) -> None:
        """Nothing of it comes from a caller."""

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """All that the model can write."""
        return limits.most

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """The most a transcript can use: the audio by its length, or its tokens twice over."""
        milliseconds, prompt = call.fields["milliseconds"], call.fields["prompt_bytes"]
        if row.rates["default"].prices(Unit.AUDIO_MILLISECONDS):
            return Ceiling(others=Usage({Unit.AUDIO_MILLISECONDS: milliseconds}))
        return Ceiling(
            input_tokens=milliseconds // 50 + prompt + FRAMING_TOKENS,
            output_limit=output_limit,
            input_unit=Unit.AUDIO_INPUT,
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """The same as the ceiling's."""
        return self.ceiling(call, row, output_limit=0).input_tokens

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """Nothing: what was not transcribed is not billed."""
        return Usage()

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> TranscriptReader:
        """A reader for the frame that ends the transcript."""
        return TranscriptReader(call, rate=row.rates["default"])


def _response(call: Call) -> dict[str, Any]:
    response: dict[str, Any] = call.fields.get("response") or {}
    return response


def _modalities(call: Call) -> Any:
    response = _response(call)
    return response.get("output_modalities") or response.get("modalities")
